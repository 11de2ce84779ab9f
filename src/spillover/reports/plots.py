"""The main plot as HTML and SVG that follow the page: colours from style sheets, widths from the screen."""

from html import escape
from typing import Any

from spillover.reports.chart import Chart, main_chart
from spillover.reports.rows import Row, interval, percent, plotted


def main_plot(results: dict[str, Any]) -> str:
    """The main figure of a run."""
    if not drawn(results):
        return "<p class=note>Nothing was measured that could be drawn.</p>"
    return chart_svg(main_chart(results)) if results["plot"]["kind"] == "curve" else _dots(results)


def drawn(results: dict[str, Any]) -> bool:
    """Whether the main figure has anything to show; there is none where ``plot.kind`` is ``measures``."""
    kind = results["plot"]["kind"]
    return kind != "measures" and bool(main_chart(results).lines if kind == "curve" else plotted(results))


def row_label(row: Row) -> str:
    """Arm and, where it is not plain, how the prompt was altered."""
    return row.title if row.condition == "plain" else f"{row.title}, {row.condition}"


def _dots(results: dict[str, Any]) -> str:
    """A line for each arm in each place: the rate as a dot, its interval as a bar, coherence beside it."""
    rows = plotted(results)
    order = {arm["name"]: number for number, arm in enumerate(results["arms"])}
    titles = {where["name"]: where for where in results["wheres"]}
    parts = [f'<div class="dots" role="img" aria-label="{escape(results["label"])} rate of each arm in each place">']
    for where in dict.fromkeys(row.where for row in rows):
        about = titles[where]
        parts.append(
            f'<div class="place"><b>{escape(about["title"])}</b> <span>{escape(about["description"])}</span></div>'
        )
        parts += [_dot(row, order[row.arm]) for row in rows if row.where == where]
    ticks = "".join(f'<text x="{x}%" y="11" class="t{x}">{x} %</text>' for x in (0, 25, 50, 75, 100))
    parts.append(
        f'<div class="dot axis"><span></span><svg class="track" height="14">{ticks}</svg><span></span></div></div>'
    )
    return "".join(parts)


def _dot(row: Row, number: int) -> str:
    rate = row.main
    assert rate is not None
    value = 100 * rate["value"]
    low, high = (100 * end for end in rate["interval"] or (rate["value"], rate["value"]))
    grid = "".join(f'<line x1="{x}%" x2="{x}%" y1="0" y2="20" class="grid"/>' for x in (0, 25, 50, 75, 100))
    coherent = "" if row.coherent is None else f"coherent {100 * row.coherent['value']:.0f} %"
    return (
        f'<div class="dot"><span class="who">{escape(row_label(row))}</span>'
        f'<svg class="track arm{number % 6}" height="20">{grid}'
        f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="10" y2="10" class="range"/>'
        f'<circle cx="{value:.2f}%" cy="10" r="5"/></svg>'
        f'<span class="much"><b>{percent(rate["value"])}</b> <i>{interval(rate["interval"])}</i> '
        f"<small>{coherent}</small></span></div>"
    )


LEFT, RIGHT, TOP, BOTTOM = 58, 470, 12, 250
MARKED = 16
"""Lines with more points than this have no marks."""


def chart_svg(chart: Chart) -> str:
    """Lines with interval bands over a number, and their key."""
    low, high = chart.y_range()

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + chart.place(x) * (RIGHT - LEFT), BOTTOM - (y - low) / (high - low) * (BOTTOM - TOP)

    label = escape(chart.title or chart.y_label)
    parts = [f'<svg class="curve" viewBox="0 0 500 276" role="img" aria-label="{label}">']
    for y, text in chart.y_ticks():
        height = BOTTOM - (y - low) / (high - low) * (BOTTOM - TOP)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(f'<text class="y" x="{LEFT - 8}" y="{height + 4:.1f}">{text}</text>')
    for place, text in chart.x_ticks():
        parts.append(f'<text class="x" x="{LEFT + place * (RIGHT - LEFT):.1f}" y="{BOTTOM + 18}">{text}</text>')
    for number, line in enumerate(chart.lines):
        middle = [at(x, y) for x, y, _, _ in line.points]
        parts.append(f'<g class="arm{number % 6}">')
        if chart.joined:
            band = [at(x, upper) for x, _, _, upper in line.points]
            band += [at(x, lower) for x, _, lower, _ in reversed(line.points)]
            parts.append(f'<polygon class="band" points="{_points(band)}"/>')
            parts.append(f'<polyline class="line" points="{_points(middle)}"/>')
        if len(middle) <= MARKED or not chart.joined:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in middle]
        parts.append("</g>")
    for number, mark in enumerate(chart.marks):
        if mark.x is not None:
            place = LEFT + chart.place(mark.x) * (RIGHT - LEFT)
            parts.append(
                f'<line class="mark-line" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{BOTTOM}"/>'
                f'<text class="x" x="{place:.1f}" y="{TOP - 2}">{number + 1}</text>'
            )
    parts.append("</svg>")
    key = "".join(
        f'<span class="arm{number % 6}"><svg width="12" height="12"><circle cx="6" cy="6" r="5"/></svg> '
        f"{escape(line.name)}</span>"
        for number, line in enumerate(chart.lines)
    )
    found = "".join(f"<li>{escape(mark.text())}</li>" for mark in chart.marks)
    marks = f'<ol class="marks">{found}</ol>' if found else ""
    return "".join(parts) + f'<p class="x-label">{escape(chart.x_label)}</p><p class="key">{key}</p>{marks}'


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
