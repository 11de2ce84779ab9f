"""Measured matrices of several models, brought together: the mean of each cell with its interval."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spillover.core.statistics import crossed_mean


class Matrix:
    """One matrix of one measure, over all models.

    Args:
        first: One model's, as it stands in ``measured.json``; says what the rows and columns are.
    """

    def __init__(self, first: Mapping[str, Any]) -> None:
        self._labels = {key: first[key] for key in ("name", "title", "unit", "rows", "columns")}
        self._beside = first.get("beside", "")
        self._found: list[Mapping[str, Any]] = []

    def add(self, given: Mapping[str, Any]) -> None:
        """Put in what one model gave."""
        self._found.append(given)

    def results(self, level: float) -> dict[str, Any]:
        """As plain JSON values; ``beside`` is None where no second number stands in the cells."""
        return {
            **self._labels,
            "n_models": len(self._found),
            "cells": self._cells("values", level),
            "beside": {"name": self._beside, "cells": self._cells("beside_values", level)} if self._beside else None,
        }

    def _cells(self, key: str, level: float) -> list[list[dict[str, Any]]]:
        rows, columns = range(len(self._labels["rows"])), range(len(self._labels["columns"]))
        return [[self._cell([given[key][i][j] for given in self._found], level) for j in columns] for i in rows]

    def _cell(self, drawn: list[list[float | None]], level: float) -> dict[str, Any]:
        """Models × draws to a mean; a model with fewer draws than another is filled up with what is not measured."""
        width = max(1, *(len(values) for values in drawn))
        table = np.full((len(drawn), width), np.nan)
        for row, values in zip(table, drawn, strict=True):
            row[: len(values)] = [np.nan if value is None else value for value in values]
        value, (low, high) = crossed_mean(table, level)
        return {"value": _number(value), "interval": [_number(low), _number(high)], "n_draws": width}


def over_conditions(found: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions × arms of a grid of prompts, the rates with their intervals, as :meth:`Matrix.results` gives it."""
    arms, label = found["arms"], found["label"]
    rows = [f"{cell['family']}: {cell['condition']}" for cell in arms[0]["conditions"]]
    plain = [[_rate(arm["plain"], arm) for arm in arms]]
    cells = [[_rate(cell, arm) for cell, arm in zip(row, arms, strict=True)] for row in _by_condition(arms)]
    return {
        "name": "conditions",
        "title": f"{label} answers by condition",
        "unit": f"{label} rate",
        "rows": ["plain", *rows],
        "columns": [arm["title"] for arm in arms],
        "n_models": max(arm["n_models"] for arm in arms),
        "cells": plain + cells,
        "beside": None,
    }


def _by_condition(arms: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], ...]]:
    return zip(*(arm["conditions"] for arm in arms), strict=True)


def _rate(cell: Mapping[str, Any], arm: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": cell["value"], "interval": cell["interval"] or [None, None], "n_draws": arm["n_questions"]}


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
