"""The main plot as PNG and SVG files, for papers and slides."""

from pathlib import Path
from typing import Any

from spillover.reports.plots import row_label
from spillover.reports.rows import plotted

COLOURS = ("#6b7280", "#c2410c", "#0f766e", "#1d4ed8", "#7e22ce", "#a16207")
"""Of arms, in order; the same as in the page's light style."""


def write_figures(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write ``figures/main.png`` and ``figures/main.svg``; returns their paths."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "0"}):
        figure = _curve(plt, results) if results["plot"]["kind"] == "curve" else _dots(plt, results)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"main.{kind}" for kind in ("png", "svg")]
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            figure.savefig(path, dpi=200, bbox_inches="tight", metadata=metadata)
        plt.close(figure)
    return paths


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


def _curve(plt: Any, results: dict[str, Any]) -> Any:
    plot = results["plot"]
    figure, axis = plt.subplots(figsize=(6, 3.8))
    for number, series in enumerate(plot["series"]):
        points = [
            (x, y, low, high)
            for x, y, low, high in zip(plot["x"], series["y"], series["lo"], series["hi"], strict=True)
            if y is not None
        ]
        if not points:
            continue
        xs, ys, lows, highs = ([100 * value for value in column] for column in zip(*points, strict=True))
        colour = COLOURS[number % len(COLOURS)]
        axis.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0)
        axis.plot(xs, ys, "o-", color=colour, label=series["name"].replace("-", " "), markersize=4)
    axis.set_ylim(-2, 102)
    axis.set_xlabel(f"{plot['x_label']} (%)")
    axis.set_ylabel(f"{results['label']} answers (%)")
    axis.grid(color="0.92")
    axis.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, columnspacing=1.2)
    return figure
