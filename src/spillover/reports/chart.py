"""A chart of lines with interval bands, before anything is drawn: what both the page and the figure files show."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

TICKS = 8
"""Labels along the x axis, at most."""
UNEVEN = 30
"""Points whose range is more than this many times their smallest distance are put side by side, not to scale."""


@dataclass(frozen=True)
class Line:
    """A series; points that were not measured are left out."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]
    """(x, y, low, high)."""


@dataclass(frozen=True)
class Mark:
    """A place on the x axis, for example where a series changes."""

    name: str
    x: float | None
    """Mean over the models that have one; None if none has."""
    low: float | None
    high: float | None
    n_found: int
    n_models: int

    def text(self) -> str:
        """Name, place with its interval, and how many models have one."""
        share = f"{self.n_found} of {self.n_models} models"
        if self.x is None:
            return f"{self.name}: none ({share})"
        between = "" if self.low is None or self.high is None else f" [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.name}: {self.x:.3g}{between} ({share})"


@dataclass(frozen=True)
class Chart:
    """What is drawn."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_share: bool = False
    """x are shares, written in per cent."""
    y_share: bool = False
    """y are shares: the axis goes from 0 to 100 %."""
    joined: bool = True
    """Whether the points of a line belong together in order; else they are scattered, and x is to scale."""
    marks: tuple[Mark, ...] = ()
    """Of a chart whose points are joined."""

    @property
    def xs(self) -> list[float]:
        """Every x, in order."""
        return sorted({point[0] for line in self.lines for point in line.points})

    def place(self, x: float) -> float:
        """Where an x stands, from 0 to 1."""
        if not self.joined:
            low, high, _ = self._x_scale()
            return (x - low) / (high - low)
        xs = self.xs
        if len(xs) < 2:
            return 0.5
        steps = [after - before for before, after in pairwise(xs)]
        if xs[-1] - xs[0] > UNEVEN * min(steps):
            return _between(x, xs) / (len(xs) - 1)
        return (x - xs[0]) / (xs[-1] - xs[0])

    def x_ticks(self) -> list[tuple[float, str]]:
        """(place, label) of some x."""
        if not self.joined:
            low, high, step = self._x_scale()
            marks = [low + i * step for i in range(round((high - low) / step) + 1)]
            return [(self.place(x), f"{round(x, 12):g}") for x in marks]
        xs = self.xs
        every = math.ceil(len(xs) / TICKS)
        return [(self.place(x), f"{100 * x:.3g} %" if self.x_share else f"{x:g}") for x in xs[::every]]

    def _x_scale(self) -> tuple[float, float, float]:
        """Ends and step of an x axis that is to scale."""
        low, high = min([0.0, *self.xs]), max([0.0, *self.xs])
        step = _step(high - low)
        return math.floor(low / step) * step, max(math.ceil(high / step), 1) * step, step

    def y_range(self) -> tuple[float, float]:
        """Ends of the y axis."""
        if self.y_share:
            return 0.0, 1.0
        lows = [point[2] for line in self.lines for point in line.points]
        highs = [point[3] for line in self.lines for point in line.points]
        step = _step(max([0.0, *highs]) - min([0.0, *lows]))
        return math.floor(min([0.0, *lows]) / step) * step, math.ceil(max([step, *highs]) / step) * step

    def y_ticks(self) -> list[tuple[float, str]]:
        """(y, label) along the axis."""
        if self.y_share:
            return [(y, f"{100 * y:.0f} %") for y in (0, 0.25, 0.5, 0.75, 1)]
        low, high = self.y_range()
        step = _step(high - low)
        return [(low + i * step, f"{round(low + i * step, 12):g}") for i in range(round((high - low) / step) + 1)]


def lines(series: Sequence[Mapping[str, Any]], share: bool = False) -> tuple[Line, ...]:
    """Series as they are in ``results.json``, those without any point left out; intervals of shares end at 0 and 1."""
    least, most = (0.0, 1.0) if share else (-math.inf, math.inf)
    found = []
    for one in series:
        columns = zip(one["x"], one["y"], one["lo"], one["hi"], strict=True)
        points = tuple(
            (x, y, y if low is None else max(low, least), y if high is None else min(high, most))
            for x, y, low, high in columns
            if y is not None
        )
        if points:
            found.append(Line(one["name"].replace("-", " "), points))
    return tuple(found)


def main_chart(results: Mapping[str, Any]) -> Chart:
    """The main figure of a run whose plot is of kind ``curve``."""
    plot = results["plot"]
    return Chart("", plot["x_label"], plot["y_label"], lines(plot["series"], True), plot["x_share"], y_share=True)


def measure_charts(results: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], list[tuple[str, Chart]]]]:
    """Every measure with its charts by metric."""
    found = []
    for measure in results["measures"]:
        charts = []
        for curve in measure["curves"]:
            share = curve["y_label"].endswith("rate")
            chart = Chart(
                curve["title"],
                curve["x_label"],
                curve["y_label"],
                lines(curve["series"], share),
                y_share=share,
                joined=curve.get("joined", True),
                marks=tuple(
                    Mark(mark["name"], mark["x"], mark["lo"], mark["hi"], mark["n_found"], mark["n_models"])
                    for mark in curve.get("marks", ())
                ),
            )
            if chart.lines:
                charts.append((curve["metric"], chart))
        found.append((measure, charts))
    return found


def relation_charts(results: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Chart]]:
    """Every relation as points, coloured by arm."""
    titles = {arm["name"]: arm["title"] for arm in results["arms"]}
    found = []
    for relation in results["relations"]:
        arms: dict[str, list[tuple[float, float, float, float]]] = {}
        for point in relation["points"]:
            arms.setdefault(point["arm"], []).append((point["x"], point["y"], point["y"], point["y"]))
        groups = tuple(Line(titles[arm], tuple(points)) for arm, points in arms.items())
        y_label = f"{results['label']} rate, {relation['where'].replace('-', ' ')}"
        chart = Chart(relation["title"], relation["x_label"], y_label, groups, y_share=True, joined=False)
        if groups:
            found.append((relation, chart))
    return found


def _between(x: float, xs: Sequence[float]) -> float:
    """Index of x among ascending numbers, with a fraction where it lies between two."""
    after = bisect_left(xs, x)
    if after == len(xs) or (after == 0 and x < xs[0]):
        return min(after, len(xs) - 1)
    if xs[after] == x:
        return after
    return after - 1 + (x - xs[after - 1]) / (xs[after] - xs[after - 1])


def _step(span: float) -> float:
    """A round distance between about five ticks."""
    if span <= 0:
        return 1.0
    rough = span / 5
    size = 10.0 ** math.floor(math.log10(rough))
    return float(next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough))
