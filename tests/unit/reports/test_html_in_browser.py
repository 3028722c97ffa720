"""The report in a real browser, light and dark: it shows, it asks for nothing, and the console is quiet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib.image
import numpy as np
import numpy.typing as npt
import pytest

from analysis.judge import judge
from reports.write import write_reports
from tests.unit.reports.browser import BINARY, Tab, browser
from tests.unit.reports.judged import hostile, spoilt

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BINARY is None, reason="no Chromium on the PATH")]

GOLDEN = Path(__file__).parents[2] / "golden" / "bundle"
PAGE = {"light": (0xFF, 0xFF, 0xFF), "dark": (0x12, 0x17, 0x1D)}
LINE_1 = {"light": (0x1F, 0x5F, 0xBF), "dark": (0x7F, 0xB2, 0xFF)}
SCHEMES = ["light", "dark"]
REPORTS = ["spoilt", "hostile", "golden"]


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages to be looked at, by name."""
    roots = {"spoilt": spoilt().write(tmp_path_factory.mktemp("spoilt"))}
    roots["hostile"] = hostile().write(tmp_path_factory.mktemp("hostile"))
    pages = {}
    for name, root in roots.items():
        write_reports(*judge(root))
        pages[name] = root / "report.html"
    from reports.html import html_report

    golden = tmp_path_factory.mktemp("golden") / "report.html"
    golden.write_text(html_report(*judge(GOLDEN)), encoding="utf-8")
    return pages | {"golden": golden}


def pixels(png: bytes) -> npt.NDArray[np.uint8]:
    """Return a picture as rows of (red, green, blue)."""
    image = matplotlib.image.imread(io.BytesIO(png), format="png")
    return np.asarray(np.rint(image[:, :, :3] * 255), dtype=np.uint8)


def share_of(image: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    return float((image == np.array(colour)).all(axis=2).mean())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", REPORTS)
def test_the_page_asks_for_nothing_and_nothing_complains(
    tab: Tab, reports: dict[str, Path], name: str, scheme: str
) -> None:
    visit = tab.open(reports[name], scheme=scheme)
    assert visit.requests[0] == reports[name].as_uri(), "the browser does tell what it asks for"
    assert [url for url in visit.requests[1:] if not url.startswith("data:")] == []
    assert visit.complaints == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", REPORTS)
def test_the_timeline_is_drawn_in_the_colours_of_the_scheme(
    tab: Tab, reports: dict[str, Path], name: str, scheme: str
) -> None:
    tab.open(reports[name], scheme=scheme)
    box = tab.box("figure svg")
    assert box[2] > 600, "as wide as the page"
    assert box[3] > 300
    drawn = pixels(tab.picture(box))
    other = "dark" if scheme == "light" else "light"
    assert 0.4 < share_of(drawn, PAGE[scheme]) < 0.98, "lines, areas and text on the page's own background"
    assert share_of(drawn, PAGE[other]) < 0.02
    assert share_of(drawn, LINE_1[scheme]) > 0.0005, "the first line is there"
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100, "text and lines have soft edges"
    # Each quarter of the picture is one panel: all four have something in them.
    for part in np.array_split(drawn, 4):
        assert share_of(part, PAGE[scheme]) < 0.99


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_without_a_plot_would_be_found_out(
    tab: Tab, reports: dict[str, Path], tmp_path: Path, scheme: str
) -> None:
    """The measure of the test above, held against a page whose plot is blank."""
    html = reports["spoilt"].read_text(encoding="utf-8")
    start = html.index("<svg")
    inner = html.index(">", start) + 1
    blank = tmp_path / "blank.html"
    blank.write_text(html[:inner] + html[html.index("</svg>") :], encoding="utf-8")
    tab.open(blank, scheme=scheme)
    drawn = pixels(tab.picture(tab.box("figure svg")))
    assert share_of(drawn, PAGE[scheme]) == 1.0


def test_a_request_and_an_error_would_be_found_out(tab: Tab, tmp_path: Path) -> None:
    """The watch of the first test, held against a page that does both."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><img src='http://evil.example/x.png'><script>console.error('trouble')</script>",
        encoding="utf-8",
    )
    visit = tab.open(page, scheme="light")
    assert "http://evil.example/x.png" in visit.requests
    assert any("trouble" in complaint for complaint in visit.complaints)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_verdict_can_be_read(tab: Tab, reports: dict[str, Path], scheme: str) -> None:
    """Text and background of the verdict differ by a contrast of 4.5, which is WCAG's for text of this size."""
    tab.open(reports["spoilt"], scheme=scheme)
    colours = [_computed(tab, ".verdict", name) for name in ("color", "background-color")]
    light, dark = sorted((_luminance(colour) for colour in colours), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def _computed(tab: Tab, selector: str, name: str) -> tuple[int, int, int]:
    expression = f"getComputedStyle(document.querySelector({selector!r})).getPropertyValue({name!r})"
    value = tab.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]
    red, green, blue = (int(part) for part in value[value.index("(") + 1 : -1].split(",")[:3])
    return red, green, blue


def _luminance(colour: tuple[int, int, int]) -> float:
    """Return the relative luminance by WCAG 2."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
