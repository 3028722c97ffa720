"""The HTML report: well-formed, complete, closed in itself, and proof against hostile text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.fault_story import tell_faults
from analysis.judge import Judgement, judge
from analysis.run import Run
from analysis.timeline import draw_timeline
from reports.html import html_report
from reports.plot import timeline_svg
from reports.wording import chain_code, fate_title, number, percent, truth_note
from tests.bundles import SyntheticRun, healthy, healthy_by_the_rulebook
from tests.unit.reports.judged import HOSTILE, contradictory, hostile, judged, spoilt, unrecovered

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
VOID = {"meta", "link", "br", "img", "hr", "input", "col", "wbr"}
LOADING = {
    "src",
    "href",
    "xlink:href",
    "srcset",
    "action",
    "formaction",
    "poster",
    "data",
    "background",
    "ping",
    "cite",
}
CONTROL = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
TABLES = {"samples", "blocks", "transactions", "supply", "balances", "probes", "resources"}


@dataclass
class Page(HTMLParser):
    """What a browser would make of the page: elements, attributes, text; every element has to be closed."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    style: str = ""
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.style += data
        else:
            self.text += data

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


def parse(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == [], "every element is closed"
    return page


def flat(text: str) -> str:
    """Return text with its white space as one space, as a page shows it; no control characters."""
    return " ".join(re.sub(CONTROL, "\ufffd", text).split())


MAKES: list[Callable[[], SyntheticRun]] = [
    *(healthy, healthy_by_the_rulebook, spoilt, unrecovered, hostile, contradictory),
]
Made = tuple[Run, Judgement, str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[], SyntheticRun]], Made]:
    """A function that returns a run, its judgement and its page, each made once."""

    @cache
    def make_once(make: Callable[[], SyntheticRun]) -> Made:
        run, judgement = judged(make(), tmp_path_factory.mktemp("made"))
        return run, judgement, html_report(run, judgement)

    return make_once


MakeOnce = Callable[[Callable[[], SyntheticRun]], Made]


@pytest.mark.parametrize("make", MAKES)
def test_the_page_is_closed_in_itself(made: MakeOnce, make: Callable[[], SyntheticRun]) -> None:
    """No script, no handler, no frame, nothing to load: neither by an element, nor by a style."""
    *_, html = made(make)
    page = parse(html)
    assert html.startswith("<!doctype html>\n")
    assert not page.tags() & {"script", "iframe", "object", "embed", "base", "form", "img", "video", "audio", "image"}
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"<{tag} {name}> is a handler"
            if name in LOADING:
                assert value.startswith("#") or value == "data:,", f"<{tag} {name}={value}> loads something"
            for target in re.findall(r"url\(([^)]*)\)", value):
                assert target.strip("'\"").startswith("#")
            if re.search(r"https?:|wss?:|//", value):
                assert name.startswith("xmlns"), f"<{tag} {name}={value}> names an address"
    assert "@import" not in page.style
    assert "url(" not in page.style
    assert "http" not in page.style
    metas = [attributes for tag, attributes in page.elements if tag == "meta"]
    assert not any("http-equiv" in attributes for attributes in metas)


@pytest.mark.parametrize("make", MAKES)
def test_the_page_has_everything_that_was_found_out(made: MakeOnce, make: Callable[[], SyntheticRun]) -> None:
    _, judgement, html = made(make)
    shown = flat(parse(html).text)
    assert flat(judgement.headline) in shown
    assert flat(judgement.plan_title) in shown
    assert flat(judgement.hypothesis) in shown
    for result in judgement.budgets:
        assert result.budget.id in shown
        assert flat(result.budget.title) in shown
    for check in judgement.checks:
        assert flat(check.title) in shown
        assert flat(check.summary) in shown
    for _, _, reason in judgement.reasons():
        assert flat(reason.sentence) in shown
        assert all(str(item) in shown for item in reason.evidence)
    for warning in judgement.warnings:
        assert flat(warning.sentence) in shown
        assert warning.code in shown
    assert judgement.transactions is not None
    for fate in judgement.transactions.fates:
        row = (fate_title(fate), chain_code(fate), number(fate.count), percent(fate.share_ratio), fate.example or "–")
        assert "".join(flat("".join(row)).split()) in "".join(shown.split())  # cells stand side by side in the text
    assert flat(truth_note(judgement.transactions)) in shown
    for fault in judgement.faults:
        assert fault.fault in shown
        assert flat(fault.effect) in shown


def test_hostile_text_is_shown_as_text(made: MakeOnce) -> None:
    *_, html = made(hostile)
    page = parse(html)
    assert "script" not in page.tags()
    assert flat(HOSTILE) in flat(page.text)
    assert "<script" not in html.lower()
    assert not re.search(CONTROL, html), "nothing turns the direction of the text around it"


def test_hostile_names_of_faults_and_phases_break_no_plot(tmp_path: Path) -> None:
    """The plot's library takes dollars for formulas and angle brackets for elements; neither is meant here."""
    run = healthy()
    run.faults = [replace(event, fault=HOSTILE, targets=(HOSTILE,)) for event in run.faults]
    run.manifest = replace(
        run.manifest, phases=tuple(replace(phase, name=HOSTILE) for phase in run.manifest.phases[:1])
    )
    page = parse(html_report(*judged(run, tmp_path)))
    assert "svg" in page.tags()
    assert "script" not in page.tags()


def variables(block: str) -> set[str]:
    return set(re.findall(r"(--[a-z0-9-]+)\s*:", block))


def test_light_and_dark_define_the_same_colours_and_every_colour_in_use(made: MakeOnce) -> None:
    *_, html = made(spoilt)
    style = parse(html).style
    [light] = re.findall(r"^:root \{(.*?)\n\}", style, re.DOTALL | re.MULTILINE)
    [dark] = re.findall(r"@media \(prefers-color-scheme: dark\) \{\s*:root \{(.*?)\n  \}", style, re.DOTALL)
    [paper] = re.findall(r"@media print \{\s*:root \{(.*?)\}", style, re.DOTALL)
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", html))
    assert variables(light) == variables(dark) == variables(paper)
    assert used == variables(light) - {"--panel"}
    assert light != dark
    # A plain page would be read with the colours of a dark system's form controls and scroll bars.
    assert '<meta name="color-scheme" content="light dark">' in html


def test_the_plot_uses_no_colour_of_its_own(made: MakeOnce) -> None:
    """Every colour is one of the page's, so that it follows light and dark."""
    *_, html = made(healthy)
    svg = html[html.index("<svg") : html.index("</svg>")]
    assert set(re.findall(r"#[0-9a-fA-F]{6}\b", svg)) == set()
    assert "var(--line-1)" in svg
    assert "var(--fault)" in svg
    assert "var(--recovery)" in svg


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("no phases", lambda run: setattr(run, "manifest", replace(run.manifest, phases=()))),
        ("one phase of no length", lambda run: _one_moment(run)),
        ("no tables", lambda run: run.left_out.update(TABLES)),
        ("no tables, no phases, no files", lambda run: _bare(run)),
        ("no budgets", lambda run: run.left_out.add("budgets.json")),
        ("empty tables", lambda run: _emptied(run)),
        ("no loads", lambda run: setattr(run, "manifest", replace(run.manifest, loads=()))),
    ],
)
def test_a_run_that_lacks_something_has_a_report(
    tmp_path: Path, name: str, spoil: Callable[[SyntheticRun], object]
) -> None:
    run = healthy()
    spoil(run)
    opened, judgement = judged(run, tmp_path)
    page = parse(html_report(opened, judgement))
    assert flat(judgement.headline) in flat(page.text)
    assert ("svg" in page.tags()) == bool(run.manifest.phases)
    assert "nan" not in page.text.lower().split()


def _one_moment(run: SyntheticRun) -> None:
    [first, *_] = run.manifest.phases
    run.manifest = replace(run.manifest, phases=(replace(first, end_at_s=first.start_at_s),))


def _bare(run: SyntheticRun) -> None:
    run.left_out |= {*TABLES, "budgets.json", "faults.jsonl", "logs/locust.json", "plan.toml", "target.toml"}
    run.journals.clear()
    run.manifest = replace(run.manifest, phases=(), ended_at_s=None, seed=0, clocks=(), children=())


def _emptied(run: SyntheticRun) -> None:
    for rows in (run.rows, run.blocks, run.transactions, run.supply, run.balances, run.probes, run.resources):
        rows.clear()


def test_a_run_without_faults_has_no_table_of_faults(tmp_path: Path) -> None:
    shown = parse(html_report(*judged(healthy(faults=()), tmp_path))).text
    assert "Faults" not in shown
    assert "Timeline" in shown


def test_a_run_that_was_not_sealed_has_a_report(tmp_path: Path) -> None:
    page = parse(html_report(*judge(healthy().write(tmp_path, sealed=False))))
    assert "the run was not sealed" in page.text


# --- the same bytes ---

PRINT_HTML = """
import sys
from pathlib import Path
from analysis.judge import Judgement, judge
from analysis.run import Run
from reports.html import html_report
sys.stdout.write(html_report(*judge(Path(sys.argv[1]))))
"""


def html_of(root: Path, hash_seed: str) -> str:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", PRINT_HTML, str(root)]
    answer = subprocess.run(command, env=environment, cwd=root.parent, capture_output=True, check=True, timeout=120)
    return answer.stdout.decode()


def test_the_same_run_gives_the_same_page_in_any_process(tmp_path: Path) -> None:
    root = spoilt().write(tmp_path)
    assert html_of(root, "1") == html_of(root, "4242")


def drawn(run: Run, salt: str) -> str:
    timeline = draw_timeline(run, tuple(tell_faults(run)))
    assert timeline is not None
    return timeline_svg(timeline, salt=salt)


def test_the_plot_is_xml_with_its_ids_once_and_each_reference_to_one_of_them(made: MakeOnce) -> None:
    svg = drawn(made(healthy)[0], "salt")
    root = ElementTree.fromstring(svg)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"""(?:href="|url\()#([^")]+)""", svg)) <= set(ids)
    assert root.get("viewBox")
    assert root.get("role") == "img"
    assert (root.get("width"), root.get("height")) == (None, None), "the page says how wide it is"


def test_the_plot_is_the_same_for_the_same_salt(made: MakeOnce) -> None:
    run = made(healthy)[0]
    one = drawn(run, "one")
    assert drawn(run, "one") == one
    assert drawn(run, "two") != one, "two reports on one page must not share ids"


def test_the_plot_names_panels_phases_and_faults(made: MakeOnce) -> None:
    html = made(healthy)[2]
    svg = html[html.index("<svg") : html.index("</svg>") + len("</svg>")]
    texts = " ".join(element.text or "" for element in ElementTree.fromstring(svg).iter() if element.text)
    for name in ("Latency from the intended time", "Transfers a second", "Block interval", "Availability"):
        assert name in texts
    for name in ("baseline", "load", "drain", "process.kill validator-3"):
        assert name in texts
