"""Write everything that is derived from a bundle back into it: verdict, HTML, Markdown, JUnit."""

from __future__ import annotations

from analysis.judge import Judgement, verdict_text
from analysis.run import Run
from reports.html import html_report
from reports.junit import junit_report
from reports.markdown import markdown_report


def render(run: Run, judgement: Judgement, form: str) -> str:
    """Return the report in one form: html, markdown, junit or json. Raises KeyError for another."""
    forms = {"html": html_report, "markdown": markdown_report, "junit": junit_report}
    return verdict_text(judgement) if form == "json" else forms[form](run, judgement)


def write_reports(run: Run, judgement: Judgement) -> None:
    """Write `verdict.json`, `report.html`, `report.md` and `junit.xml` into the bundle."""
    layout = run.layout
    layout.verdict.write_text(verdict_text(judgement), encoding="utf-8")
    layout.report_html.write_text(html_report(run, judgement), encoding="utf-8")
    layout.report_markdown.write_text(markdown_report(run, judgement), encoding="utf-8")
    layout.junit.write_text(junit_report(run, judgement), encoding="utf-8")
