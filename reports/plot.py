"""The timeline as one inline SVG that follows the page's colours, light or dark, and prints.

Drawn by matplotlib with colours that stand for roles; the roles become CSS variables afterwards.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.timeline import Panel, Timeline
from reports.wording import plain

# Colours that occur nowhere else; each is replaced by the CSS variable of its role.
_ROLES = {
    "#010101": "--ink",
    "#010102": "--faint",
    "#010103": "--line-1",
    "#010104": "--line-2",
    "#010105": "--line-3",
    "#010106": "--fault",
    "#010107": "--recovery",
    "#010108": "--phase",
}
_INK, _FAINT, _LINE_1, _LINE_2, _LINE_3, _FAULT, _RECOVERY, _PHASE = _ROLES
_LINES = (_LINE_1, _LINE_2, _LINE_3)
_STYLES = ("-", "-", "--")
_WIDTH_IN, _PANEL_IN = 10.0, 1.9


def timeline_svg(timeline: Timeline, *, salt: str) -> str:
    """Return the timeline as an `<svg>` element. The same timeline and salt give the same text."""
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.size": 9.0,
        "axes.linewidth": 0.8,
        "text.parse_math": False,  # a dollar in a name is no formula
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(_WIDTH_IN, _PANEL_IN * len(timeline.panels) + 0.4), layout="constrained")
        figure.patch.set_visible(False)  # the page's own background shows through, light or dark
        axes = figure.subplots(len(timeline.panels), 1, sharex=True, squeeze=False)[:, 0]
        for axis, panel in zip(axes, timeline.panels, strict=True):
            _draw(axis, panel, timeline)
        _label(axes[0], timeline)
        axes[-1].set_xlabel("seconds since the run began", color=_INK)
        axes[-1].set_xlim(0, max(timeline.length_s, timeline.bin_s))
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(text.getvalue())


def _draw(axis: Axes, panel: Panel, timeline: Timeline) -> None:
    axis.patch.set_alpha(0)
    axis.set_title(panel.title, loc="left", color=_INK, fontsize=10, fontweight="bold")
    axis.set_ylabel(panel.unit, color=_INK)
    axis.tick_params(colors=_INK, length=3)
    axis.grid(True, color=_FAINT, linewidth=0.6)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_FAINT)
    for fault in timeline.faults:
        axis.axvspan(fault.start_s, fault.end_s, color=_FAULT, alpha=0.22, linewidth=0)
    for recovery in timeline.recoveries:
        axis.axvspan(recovery.start_s, recovery.end_s, color=_RECOVERY, alpha=0.25, linewidth=0)
    for phase in timeline.phases[1:]:
        axis.axvline(phase.start_s, color=_PHASE, linewidth=0.8, linestyle=":")
    for series, color, style in zip(panel.series, _LINES, _STYLES, strict=False):
        xs, ys = [x for x, _ in series.points], [y for _, y in series.points]
        if series.is_dots:
            axis.plot(xs, ys, ".", color=color, markersize=4, label=series.name)
        else:
            axis.plot(xs, ys, style, color=color, linewidth=1.5, label=series.name)
    _set_range(axis, panel)
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, labelcolor=_INK, fontsize=8.5)


def _set_range(axis: Axes, panel: Panel) -> None:
    """Leave room above the highest value, so that a line at the top is seen."""
    values = [y for series in panel.series for _, y in series.points if math.isfinite(y)]
    top = panel.highest if panel.highest is not None else max(values, default=1.0) or 1.0
    axis.set_ylim(panel.lowest, top * 1.08)


def _label(axis: Axes, timeline: Timeline) -> None:
    """Write the names of phases and faults along the inside of the top edge, and make room for them."""
    top = axis.get_ylim()[1] * 1.3
    axis.set_ylim(axis.get_ylim()[0], top)
    for phase in timeline.phases:
        if phase.end_s - phase.start_s > 0.04 * timeline.length_s:
            axis.text(phase.start_s, top, f" {plain(phase.name)}", va="top", color=_PHASE, fontsize=8)
    for fault in timeline.faults:
        axis.text(fault.start_s, 0.88 * top, f" {plain(fault.name)}", va="top", color=_FAULT, fontsize=8)


def _inline(svg: str) -> str:
    """Return the SVG element without its XML prologue, its colours replaced by roles, its size left to the page."""
    svg = svg[svg.index("<svg") :]
    for color, role in _ROLES.items():
        svg = svg.replace(color, f"var({role})")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # The page says how wide it is; the viewBox keeps the shape.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", '<svg role="img" aria-label="Timeline of the run"', 1)
