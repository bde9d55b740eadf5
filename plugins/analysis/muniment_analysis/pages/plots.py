"""Plots as SVG texts, drawn by matplotlib without a display.

Text in a plot stays text, so the browser's fonts show Chinese characters. Equal data give equal
bytes.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from muniment_analysis.intervals import Estimate, Floats

_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c")
_LONGEST = 40  # characters of a name, so that the plot has space
_MAX_LABELS = 31  # below bars
_MIN_BARS = 7  # for which there is room, so that one bar does not fill a plot
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "muniment",
    "font.family": ["sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a name with $ is no formula
}
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def stacked_shares(shares: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Return one stacked bar for each measure, of its variance shares."""
    with _figure(7, 0.9 + 0.45 * len(shares)) as (figure, axes):
        names = list(dict.fromkeys(name for parts in shares.values() for name in parts))
        starts = dict.fromkeys(shares, 0.0)
        bars = []
        for position, name in enumerate(names):
            widths = [parts[name].value if name in parts else 0.0 for parts in shares.values()]
            color = _COLOURS[position % len(_COLOURS)]
            bars.append(axes.barh(list(shares), widths, left=list(starts.values()), color=color))
            starts = {
                measure: start + width
                for (measure, start), width in zip(starts.items(), widths, strict=True)
            }
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the variance within items")
        axes.invert_yaxis()
        axes.legend(
            [bar[0] for bar in bars],  # a label of a bar that begins with _ would not be listed
            [_shortened(name) for name in names],
            ncols=min(4, len(names)),
            loc="lower left",
            bbox_to_anchor=(0, 1),
            frameon=False,
        )
        return _svg(figure)


def curve(x: Sequence[float], estimates: Sequence[Estimate], *, x_label: str, y_label: str) -> str:
    """Return a line through estimates, in the order of x, with a band of their intervals."""
    pairs = sorted(zip(x, estimates, strict=True))
    x, estimates = [place for place, _ in pairs], [estimate for _, estimate in pairs]
    with _figure(3.6, 2.6) as (figure, axes):
        axes.plot(x, [estimate.value for estimate in estimates], marker="o", color=_COLOURS[0])
        axes.fill_between(
            x,
            [estimate.low for estimate in estimates],
            [estimate.high for estimate in estimates],
            color=_COLOURS[0],
            alpha=0.2,
            linewidth=0,
        )
        axes.set_xticks(list(x))
        axes.set_xlabel(_shortened(x_label))
        axes.set_ylabel(_shortened(y_label))
        return _svg(figure)


def time_line(
    times: Sequence[datetime],
    means: Sequence[float],
    intervals: Sequence[Estimate | None],
    *,
    y_label: str,
    mark: datetime | None = None,
) -> str:
    """Return means over time with bars for those that have an interval.

    `mark` is a time with a vertical line. The axis has the times of their own zone.
    """
    with _figure(7, 2.8) as (figure, axes):
        bounds = [
            item or Estimate(mean, mean, mean, 1)
            for mean, item in zip(means, intervals, strict=True)
        ]
        below = [mean - item.low for mean, item in zip(means, bounds, strict=True)]
        above = [item.high - mean for mean, item in zip(means, bounds, strict=True)]
        # matplotlib converts times, those with a zone to UTC. Its annotations name numbers alone.
        days: Any = [time.replace(tzinfo=None) for time in times]
        axes.errorbar(days, means, yerr=[below, above], marker="o", color=_COLOURS[0], capsize=3)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
        if mark is not None:
            day: Any = mark.replace(tzinfo=None)
            axes.axvline(day, color=_COLOURS[3], linestyle="--")
        axes.set_ylabel(y_label)
        return _svg(figure)


def violins(groups: Mapping[str, Floats], *, y_label: str) -> str:
    """Return a violin of the values of each group, with their median. Values are not NaN."""
    with _figure(3.6, 2.6) as (figure, axes):
        positions = range(1, len(groups) + 1)
        axes.violinplot(list(groups.values()), positions=positions, showmedians=True)
        axes.set_xticks(list(positions), list(groups))
        axes.set_ylabel(y_label)
        axes.set_ylim(bottom=0)
        return _svg(figure)


def interval(estimate: Estimate, *, x_label: str, effect: float | None = None) -> str:
    """Return an estimate with its interval beside 0, and a band of ± `effect` if it is given."""
    with _figure(7, 0.9) as (figure, axes):
        if effect is not None:
            axes.axvspan(-effect, effect, color=_COLOURS[-1], alpha=0.2, linewidth=0)
        axes.axvline(0, color=_COLOURS[-1], linewidth=1)
        axes.plot([estimate.low, estimate.high], [0, 0], color=_COLOURS[0], linewidth=2)
        axes.plot([estimate.value], [0], marker="o", color=_COLOURS[0])
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(x_label)
        return _svg(figure)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def stacked_bars(
    bars: Mapping[str, Mapping[str, float]],
    *,
    colours: Mapping[str, str],
    label: str,
    horizontal: bool = False,
) -> str:
    """Return a bar for each name, stacked of its parts in the order of their colours."""
    height = 1.0 + 0.22 * len(bars) if horizontal else 2.6
    with _figure(7, height) as (figure, axes):
        starts = dict.fromkeys(bars, 0.0)
        for part, colour in colours.items():
            sizes = {name: parts.get(part, 0.0) for name, parts in bars.items()}
            if not any(sizes.values()):
                continue
            places, values = list(starts.values()), list(sizes.values())
            if horizontal:
                axes.barh(list(bars), values, left=places, color=colour, label=part)
            else:
                axes.bar(list(bars), values, bottom=places, color=colour, label=part)
            starts = {name: start + sizes[name] for name, start in starts.items()}
        counts = axes.xaxis if horizontal else axes.yaxis
        counts.set_label_text(label)
        counts.set_major_locator(MaxNLocator(integer=True))
        counts.set_major_formatter("{x:,.0f}")
        if horizontal:
            axes.invert_yaxis()
        else:
            axes.set_xlim(-0.6, max(len(bars), _MIN_BARS) - 0.4)
            if len(bars) > 8:
                axes.tick_params(axis="x", labelrotation=60)
                step = -(-len(bars) // _MAX_LABELS)
                axes.set_xticks(range(0, len(bars), step), list(bars)[::step])
        axes.legend(ncols=len(colours), loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
        return _svg(figure)


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def _svg(figure: Figure) -> str:
    """Return a figure as an SVG element without the XML declaration and the date."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # matplotlib's own font, by which it estimates widths, has no Chinese characters.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
