"""The report as one HTML file: no network, no script, light and dark, fit for print."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.budget import Severity
from analysis.judge import Judgement
from analysis.run import Run
from analysis.summary import summarise
from analysis.timeline import draw_timeline
from analysis.verdict import Verdict
from bundle import ExpectedLoad, Manifest
from reports import wording
from reports.plot import timeline_svg


def _plain(value: object) -> object:
    """Return text from outside without what could turn the text around it; the plot is no text."""
    return wording.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_environment = Environment(
    loader=PackageLoader("reports", "templates"),
    autoescape=True,
    finalize=_plain,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "number": wording.number,
    "amount": wording.amount,
    "share": wording.share,
    "percent": wording.percent,
    "fate_title": wording.fate_title,
    "chain_code": wording.chain_code,
    "truth_note": wording.truth_note,
    "limit": wording.limit,
    "measured": wording.measured,
    "interval": wording.interval,
    "moment": wording.moment,
    "duration": wording.duration,
    "bar": wording.bar_percent,
}


def html_report(run: Run, judgement: Judgement) -> str:
    """Return the report as HTML."""
    timeline = draw_timeline(run, judgement.faults)
    return _environment.get_template("report.html").render(
        judgement=judgement,
        manifest=run.manifest,
        summary=summarise(run),
        timeline_svg=timeline_svg(timeline, salt=judgement.run_id) if timeline else "",
        surroundings=_surroundings(run.manifest),
        reasons=judgement.reasons(),
        css_class={Verdict.PASS: "pass", Verdict.INCONCLUSIVE: "unknown", Verdict.FAIL: "fail"},
        warn=Severity.WARN,
    )


def _model(load: ExpectedLoad) -> str:
    if load.is_open:
        return f"{load.rate_per_s:.4g} arrivals/s on average, at most {load.users} in flight"
    return f"{load.users} users, {load.rate_per_s:g}/s"


def _scales(manifest: Manifest) -> list[tuple[str, str]]:
    """Return how the plan was scaled; nothing when it was run as written."""
    scales = {"rates": manifest.rate_scale, "times": manifest.time_scale}
    return [(f"{name} scaled", f"{scale:g} of the plan's") for name, scale in scales.items() if scale != 1]


def _surroundings(manifest: Manifest) -> list[tuple[str, str]]:
    """Return what the run was made with and on, as rows."""
    target = manifest.target
    total = sum(target.voting_power.values())
    power = ", ".join(f"{name} {value}" for name, value in sorted(target.voting_power.items()))
    rows = [
        ("target", f"{target.name} ({target.environment})"),
        ("chain", f"{target.chain_id}, application {target.app_version or 'unknown'}"),
        ("genesis", target.genesis_hash or "not given out"),
        ("voting power", f"{power} (total {total})" if power else "unknown"),
        ("load", "; ".join(f"{x.scenario}: {_model(x)}" for x in manifest.loads)),
        ("seed", str(manifest.seed)),
        *_scales(manifest),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))),
        ("host", ", ".join(f"{name} {value}" for name, value in sorted(manifest.host.items()))),
        ("revision", manifest.git_revision or "unknown"),
    ]
    if manifest.end_reason:
        rows.insert(0, ("end", f"{manifest.end}: {manifest.end_reason}"))
    return rows
