"""The main plot as PNG and SVG files, for papers and slides."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spillover.reports.chart import Chart, main_chart, measure_charts, relation_charts
from spillover.reports.defences import draw_pareto
from spillover.reports.matrix import cell_text, depth
from spillover.reports.plots import MARKED, drawn, row_label
from spillover.reports.rows import plotted

COLOURS = ("#6b7280", "#c2410c", "#0f766e", "#1d4ed8", "#7e22ce", "#a16207")
"""Of arms, in order; the same as in the page's light style."""
DENSE = 30
"""Rows of a heat map from which on they are narrow."""


def write_figures(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write ``main``, where anything was measured, and each measured curve, as PNG and SVG; returns their paths."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    paths = []
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "0"}):
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in _figures(plt, results):
            for kind in ("png", "svg"):
                path = folder / f"{name}.{kind}"
                metadata = {"Date": None} if kind == "svg" else {}
                figure.savefig(path, dpi=200, bbox_inches="tight", metadata=metadata)
                paths.append(path)
            plt.close(figure)
    return paths


def _figures(plt: Any, results: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if drawn(results):
        yield "main", _curve(plt, main_chart(results)) if results["plot"]["kind"] == "curve" else _dots(plt, results)
    for measure, charts in measure_charts(results):
        for metric, chart in charts:
            yield f"{measure['name'].replace('/', '-')}-{metric}", _curve(plt, chart)
        if "defences" in measure:
            yield f"{measure['name']}-pareto", draw_pareto(plt, measure["defences"])
        for matrix in measure.get("matrices", ()):
            name = f"{measure['name']}-{matrix['name']}"
            yield re.sub(r"[^\w.-]+", "-", name), _heat(plt, matrix)
    for relation, chart in relation_charts(results):
        yield f"relation-{relation['name']}", _curve(plt, chart)


def _dots(plt: Any, results: dict[str, Any]) -> Any:
    rows = plotted(results)
    wheres = list(dict.fromkeys(row.where for row in rows))
    order = {arm["name"]: number for number, arm in enumerate(results["arms"])}
    counts = [sum(row.where == where for row in rows) for where in wheres]
    figure, axes = plt.subplots(
        len(wheres),
        1,
        figsize=(7, 0.4 * len(wheres) + 0.17 * sum(counts)),
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": counts, "hspace": 0.4},
    )
    for axis, where in zip(axes[:, 0], wheres, strict=True):
        here = [row for row in rows if row.where == where]
        for height, row in enumerate(reversed(here)):
            rate = row.main
            assert rate is not None
            colour = COLOURS[order[row.arm] % len(COLOURS)]
            low, high = rate["interval"] or (rate["value"], rate["value"])
            axis.plot([100 * low, 100 * high], [height, height], color=colour, linewidth=2, alpha=0.5)
            axis.plot([100 * rate["value"]], [height], "o", color=colour, markersize=5)
        axis.set_yticks(range(len(here)), [row_label(row) for row in reversed(here)])
        axis.set_ylim(-0.6, len(here) - 0.4)
        axis.set_title(where.replace("-", " "), loc="left", fontsize=10, fontweight="bold")
        axis.grid(axis="x", color="0.9")
    axes[-1, 0].set_xlim(-2, 102)
    axes[-1, 0].set_xlabel(f"{results['label']} answers (%), 95 % intervals")
    return figure


def _curve(plt: Any, chart: Chart) -> Any:
    figure, axis = plt.subplots(figsize=(6, 3.8))
    for number, line in enumerate(chart.lines):
        xs, ys, lows, highs = zip(*line.points, strict=True)
        places = [chart.place(x) for x in xs]
        colour = COLOURS[number % len(COLOURS)]
        if chart.joined:
            axis.fill_between(places, lows, highs, color=colour, alpha=0.15, linewidth=0)
        mark = "o" if not chart.joined else "o-" if len(xs) <= MARKED else "-"
        axis.plot(places, ys, mark, color=colour, label=line.name, markersize=4)
    for order, found in enumerate(chart.marks, 1):
        if found.x is not None:
            at = chart.place(found.x)
            axis.axvline(at, color="0.4", linestyle="--", linewidth=0.8)
            axis.annotate(str(order), (at, 0.97), xycoords=("data", "axes fraction"), fontsize=8)
    if chart.marks:
        text = "\n".join(f"{order} {found.text()}" for order, found in enumerate(chart.marks, 1))
        axis.annotate(text, (0, -0.2), xycoords="axes fraction", fontsize=8, va="top")
    axis.set_xticks(*zip(*chart.x_ticks(), strict=True))
    axis.set_yticks(*zip(*chart.y_ticks(), strict=True))
    low, high = chart.y_range()
    axis.set_ylim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    axis.set_xlabel(chart.x_label)
    axis.set_ylabel(chart.y_label)
    axis.grid(color="0.92")
    axis.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, columnspacing=1.2)
    return figure


def _heat(plt: Any, matrix: dict[str, Any]) -> Any:
    """A matrix as a heat map with its numbers, and what stands beside them in smaller type."""
    rows, columns = matrix["rows"], matrix["columns"]
    dense = len(rows) > DENSE
    figure, axis = plt.subplots(figsize=(1.6 + 1.15 * len(columns), 0.9 + (0.17 if dense else 0.5) * len(rows)))
    depths = [[depth(matrix, i, j) or 0.0 for j in range(len(columns))] for i in range(len(rows))]
    axis.imshow(depths, cmap="Oranges", vmin=0, vmax=1.6, aspect="auto")
    for i in range(len(rows)):
        for j in range(len(columns)):
            value, beside = cell_text(matrix, i, j)
            axis.text(j, i - 0.12 * bool(beside), value, ha="center", va="center", fontsize=6.5 if dense else 9)
            axis.text(j, i + 0.25, beside, ha="center", va="center", fontsize=6.5, color="0.3")
    axis.set_xticks(range(len(columns)), [textwrap.fill(column, 14) for column in columns], fontsize=8)
    axis.set_yticks(range(len(rows)), rows, fontsize=6.5 if dense else 9)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    axis.set_title(matrix["title"], loc="left", fontsize=10, fontweight="bold")
    return figure
