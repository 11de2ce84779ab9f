"""What a measure has found so far, in the form that :func:`spillover.analysis.stages.write_measured` takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Findings:
    """Curves, numbers and matrices, gathered one after another."""

    def __init__(self) -> None:
        self.curves: list[dict[str, Any]] = []
        self.numbers: list[dict[str, Any]] = []
        self.matrices: list[dict[str, Any]] = []

    def say(self, name: str, series: str, values: Sequence[float]) -> None:
        """A number: the mean of those values that were measured."""
        known = [value for value in values if np.isfinite(value)]
        self.numbers.append({"name": name, "series": series, "value": float(np.mean(known)) if known else None})

    def curve(
        self,
        metric: str,
        title: str,
        x_label: str,
        y_label: str,
        series: Mapping[str, Mapping[float, Sequence[float]]],
    ) -> None:
        """A curve: series to x to values, one or one a draw; ``nan`` where it was not measured."""
        points = [
            {
                "name": name,
                "points": [
                    {"x": x, "values": [float(value) if np.isfinite(value) else None for value in values]}
                    for x, values in at.items()
                ],
            }
            for name, at in series.items()
        ]
        self.curves.append({"metric": metric, "title": title, "x_label": x_label, "y_label": y_label, "series": points})
