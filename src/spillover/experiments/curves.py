"""Measured curves of several models, brought together: means, intervals and paired differences at every point."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.statistics import Interval, crossed_mean
from spillover.experiments.claims import Rate
from spillover.experiments.matrices import Matrix, over_conditions

Table = NDArray[np.float64]
"""Models × draws."""


@dataclass
class Curve:
    """One metric of one measure, over all models."""

    measure: str
    metric: str
    title: str
    x_label: str
    y_label: str
    series: dict[str, dict[float, list[list[float]]]] = field(default_factory=dict)
    """Name to x to the values of each model."""
    joined: bool = True
    """Whether its points belong together in order; else they are scattered."""
    marks: dict[str, list[float]] = field(default_factory=dict)
    """Places on the x axis by name, one for each model; ``nan`` where a model has none."""

    def table(self, name: str, x: float) -> Table:
        """What the models gave at one point; ``nan`` where one was not measured."""
        return np.array(self.series[name][x], dtype=np.float64)

    def differences(self, first: str, second: str, level: float) -> list[tuple[float, Rate]]:
        """First minus second at each x that both have, each model against itself, means over its draws."""
        points = []
        for x in self.series.get(first, {}):
            if x not in self.series.get(second, {}):
                continue
            by_model = np.nanmean(self.table(first, x), 1) - np.nanmean(self.table(second, x), 1)
            value, (low, high) = crossed_mean(by_model[:, None], level)
            if np.isfinite(value):
                points.append((x, Rate(value, low, high)))
        return points

    def results(self, level: float) -> dict[str, Any]:
        """As plain JSON values."""
        series = []
        for name, points in self.series.items():
            found = [(x, self.table(name, x)) for x in points]
            means = [(x, *crossed_mean(table, level)) for x, table in found]
            series.append(
                {
                    "name": name,
                    "x": [x for x, _, _ in means],
                    "y": [_number(value) for _, value, _ in means],
                    "lo": [_number(low) for _, _, (low, _) in means],
                    "hi": [_number(high) for _, _, (_, high) in means],
                    "n_models": max((len(table) for _, table in found), default=0),
                    "n_draws": max((table.shape[1] for _, table in found), default=0),
                }
            )
        return {
            "metric": self.metric,
            "title": self.title,
            "x_label": self.x_label,
            "y_label": self.y_label,
            "joined": self.joined,
            "series": series,
            "marks": [_mark(name, places, level) for name, places in self.marks.items()],
        }


@dataclass
class Measure:
    """Everything one measure gave."""

    name: str
    title: str
    curves: list[Curve]
    numbers: dict[tuple[str, str], list[float]]
    """(what, series) to the value of each model."""
    remarks: list[str]
    matrices: list[Matrix] = field(default_factory=list)
    conditional: dict[str, Any] | None = None
    """Of a grid of prompts; one stage gives it for all models."""
    defences: dict[str, Any] | None = None
    """Of defences side by side; the same."""
    intervals: dict[tuple[str, str], Interval] = field(default_factory=dict)
    """Of numbers that one stage found over all models, with their interval."""
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name to what is read rather than averaged; the first column says which model a row is of."""

    def results(self, level: float) -> dict[str, Any]:
        """As plain JSON values."""
        numbers = []
        for (name, series), values in self.numbers.items():
            mean, (low, high) = crossed_mean(np.array(values, dtype=np.float64)[:, None], level)
            low, high = self.intervals.get((name, series), (low, high))
            numbers.append(
                {
                    "name": name,
                    "series": series,
                    "value": _number(mean),
                    "interval": [_number(low), _number(high)],
                    "n_models": int(np.isfinite(values).sum()),  # that have one
                }
            )
        grid = {} if self.conditional is None else {"conditional": self.conditional}
        board = {} if self.defences is None else {"defences": self.defences}
        return {
            "name": self.name,
            "title": self.title,
            "curves": [curve.results(level) for curve in self.curves],
            "numbers": numbers,
            "remarks": self.remarks,
            "matrices": [
                *(matrix.results(level) for matrix in self.matrices),
                *(over_conditions(found) for found in grid.values()),
            ],
            **grid,
            **board,
            "tables": list(self.tables.values()),
        }


def read_measure(name: str, title: str, folders: Sequence[Path]) -> Measure:
    """Bring together the ``measured.json`` of a measure's stages, one for each model or pair of models."""
    curves: dict[str, Curve] = {}
    numbers: dict[tuple[str, str], list[float]] = {}
    remarks: list[str] = []
    matrices: dict[str, Matrix] = {}
    conditional, defences = None, None
    intervals: dict[tuple[str, str], Interval] = {}
    tables: dict[str, dict[str, Any]] = {}
    for number, folder in enumerate(folders):
        found = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
        for given in found["curves"]:
            labels = {key: given[key] for key in ("metric", "title", "x_label", "y_label")}
            curve = curves.setdefault(given["metric"], Curve(name, **labels, joined=given.get("joined", True)))
            for series in given["series"]:
                points = curve.series.setdefault(series["name"], {})
                for point in series["points"]:
                    values = [float("nan") if value is None else value for value in point["values"]]
                    points.setdefault(point["x"], []).append(values)
            for mark in given.get("marks", ()):
                curve.marks.setdefault(mark["name"], []).append(float("nan") if mark["x"] is None else mark["x"])
        for given in found["numbers"]:
            value = float("nan") if given["value"] is None else given["value"]
            numbers.setdefault((given["name"], given["series"]), []).append(value)
            if given.get("interval"):
                intervals[given["name"], given["series"]] = (given["interval"][0], given["interval"][1])
        remarks += [remark for remark in found["remarks"] if remark not in remarks]
        for given in found.get("matrices", ()):  # stages made before there were any have none
            matrices.setdefault(given["name"], Matrix(given)).add(given)
        conditional = found.get("conditional", conditional)
        defences = found.get("defences", defences)
        for given in found.get("tables", ()):
            head, model = (["model"], [number]) if len(folders) > 1 else ([], [])
            labels = {"name": given["name"], "title": given["title"], "columns": [*head, *given["columns"]]}
            table = tables.setdefault(given["name"], {**labels, "rows": []})
            table["rows"] += [[*model, *row] for row in given["rows"]]
    return Measure(
        name,
        title,
        list(curves.values()),
        numbers,
        remarks,
        list(matrices.values()),
        conditional=conditional,
        defences=defences,
        intervals=intervals,
        tables=tables,
    )


def _mark(name: str, places: Sequence[float], level: float) -> dict[str, Any]:
    """Mean place over the models that have one."""
    x, (low, high) = crossed_mean(np.array(places, dtype=np.float64)[:, None], level)
    found = int(np.isfinite(places).sum())
    return {
        "name": name,
        "x": _number(x),
        "lo": _number(low),
        "hi": _number(high),
        "n_found": found,
        "n_models": len(places),
    }


def _number(value: float) -> float | None:
    """JSON has no ``nan``; what was not measured is null. Curves span orders of magnitude, so digits are kept."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
