"""Does one thing that was measured on models predict another? Points, and their correlation with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spillover.core.config import Config
from spillover.core.statistics import Interval, correlation
from spillover.experiments.curves import Curve

Values = NDArray[np.float64]
"""One number for each model."""


class Relation(Config):
    """The gap between two series of a measured curve, against the rate of an arm, model by model."""

    name: str
    title: str
    pairs: dict[str, str] = Field(min_length=2)
    """Measure to the arm whose rate it is set against; both have the same number of models."""
    metric: str
    first: str
    """Series."""
    second: str
    """The gap is second minus first, its mean over the points of the curve."""
    where: str
    x_label: str


@dataclass(frozen=True)
class Related:
    """What a relation came to."""

    points: list[tuple[str, float, float]]
    """(arm, gap, rate) of each model."""
    pearson: float
    pearson_interval: Interval
    spearman: float
    spearman_interval: Interval


def relate(
    relation: Relation, curves: Sequence[Curve], rates: Mapping[tuple[str, str], Values], level: float
) -> Related:
    """Set gaps against rates.

    Intervals are of a bootstrap over arms and their models: models of one arm share what the arm varies.

    Args:
        relation: What is set against what.
        curves: All that were measured.
        rates: (arm, where) to the rate of each model.
        level: Of the intervals.
    """
    found = {(curve.measure, curve.metric): curve for curve in curves}
    points, groups = [], []
    for number, (measure, arm) in enumerate(relation.pairs.items()):
        curve = found.get((measure, relation.metric))
        if curve is None or (arm, relation.where) not in rates:
            continue
        gaps = _gaps(curve, relation.first, relation.second)
        for gap, rate in zip(gaps, rates[arm, relation.where], strict=True):
            if np.isfinite(gap) and np.isfinite(rate):
                points.append((arm, float(gap), float(rate)))
                groups.append(number)
    x, y = (np.array([point[i] for point in points], dtype=np.float64) for i in (1, 2))
    pearson = correlation(x, y, groups, level=level)
    spearman = correlation(_ranks(x), _ranks(y), groups, level=level)
    return Related(points, *pearson, *spearman)


def results(relation: Relation, related: Related) -> dict[str, Any]:
    """As plain JSON values."""
    return {
        "name": relation.name,
        "title": relation.title,
        "x_label": relation.x_label,
        "where": relation.where,
        "points": [{"arm": arm, "x": float(f"{x:.6g}"), "y": round(y, 6)} for arm, x, y in related.points],
        "pearson": _number(related.pearson),
        "pearson_interval": [_number(end) for end in related.pearson_interval],
        "spearman": _number(related.spearman),
        "spearman_interval": [_number(end) for end in related.spearman_interval],
    }


def _gaps(curve: Curve, first: str, second: str) -> Values:
    """Second minus first for each model: mean over draws, then over the x that both have."""
    both = [x for x in curve.series.get(first, {}) if x in curve.series.get(second, {})]
    if not both:
        return np.zeros(0)
    gaps = [np.nanmean(curve.table(second, x), 1) - np.nanmean(curve.table(first, x), 1) for x in both]
    found: Values = np.mean(gaps, axis=0)
    return found


def _ranks(values: Values) -> Values:
    """Ranks from 0, ties share their mean."""
    return np.array([((values < value).sum() + (values <= value).sum() - 1) / 2 for value in values], dtype=np.float64)


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
