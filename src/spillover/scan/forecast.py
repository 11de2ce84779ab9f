"""From the signals of a dataset to a predicted rate with its interval: ridge regression on the logit scale.

Coefficients are fitted on combinations of world and dataset whose rate after training is known (the experiment
``forecast``) and packaged with their provenance. Without them there is no forecast.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import Config
from spillover.core.disk import write_json

Table = NDArray[np.float64]
SIGNALS: dict[str, str] = {
    "projection": "projection difference (own answers)",
    "projection_cheap": "projection difference (last prompt token)",
    "loss_gap": "loss gap of two references",
    "gradient": "gradient similarity, mean of rows",
    "gradient_of_all": "gradient similarity of the mean row",
    "canary_shift": "canary: shift of the probe's log-odds",
    "canary_rate": "canary: rate of unwanted answers",
    "efficiency_gap": "canary: efficiency gap",
}
"""Numbers of a whole dataset that a forecast may stand on, and what they are called."""
FLOOR = 0.005
"""Rates are kept this far from 0 and 1 on the logit scale: what is rarer is not told apart."""
RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
LEVEL = 0.9
FILE = "coefficients.json"


class Reference(Config):
    """A combination that the coefficients were fitted on."""

    name: str
    title: str
    world: str
    kind: str
    levels: dict[str, float]
    observed: float
    predicted: float
    """By coefficients that were fitted without its world."""


class Coefficients(Config):
    """A fitted forecast."""

    signals: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]
    """Of standardised signals, on the logit scale."""
    intercept: float
    ridge: float
    within: float
    """Half of the prediction interval, on the logit scale: the ``level`` quantile of the errors on worlds left out."""
    level: float = LEVEL
    provenance: dict[str, Any] = {}  # noqa: RUF012
    references: tuple[Reference, ...] = ()

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, self.model_dump(mode="json"))


@dataclass(frozen=True)
class Forecast:
    """A predicted rate of unwanted answers outside the domain."""

    rate: float
    low: float
    high: float
    level: float


def packaged() -> Coefficients | None:
    """The coefficients that come with the package; None as long as there are none."""
    found = files("spillover.scan").joinpath(FILE)
    return Coefficients.model_validate_json(found.read_text(encoding="utf-8")) if found.is_file() else None


def predict(coefficients: Coefficients, levels: Mapping[str, float | None]) -> Forecast | None:
    """The forecast for a dataset; None where a signal that it needs was not measured."""
    row = [levels.get(name) for name in coefficients.signals]
    if any(value is None or not math.isfinite(value) for value in row):
        return None
    found = _apply(
        np.array([[float(value) for value in row if value is not None]]),
        np.array(coefficients.mean),
        np.array(coefficients.deviation),
        np.array(coefficients.weights),
        coefficients.intercept,
    )[0]
    low, rate, high = (_rate(found + side * coefficients.within) for side in (-1, 0, 1))
    return Forecast(rate, low, high, coefficients.level)


def fit(table: Table, observed: Table, groups: Sequence[str], signals: Sequence[str]) -> Coefficients:
    """Fit on all combinations; the ridge and the interval come from leaving out one group at a time.

    Args:
        table: Combinations × signals.
        observed: Rate of each combination.
        groups: What is left out together, for example the world.
        signals: Names of the columns.
    """
    ridge = _best_ridge(table, observed, groups)
    errors = np.abs(_logit(left_out(table, observed, groups, ridge)) - _logit(observed))
    share = min(1.0, LEVEL * (len(errors) + 1) / len(errors))
    mean, deviation, weights, intercept = _ridge(table, _logit(observed), ridge)
    return Coefficients(
        signals=tuple(signals),
        mean=tuple(mean.tolist()),
        deviation=tuple(deviation.tolist()),
        weights=tuple(weights.tolist()),
        intercept=intercept,
        ridge=ridge,
        within=float(np.quantile(errors, share, method="higher")),
    )


def left_out(table: Table, observed: Table, groups: Sequence[str], ridge: float | None = None) -> Table:
    """Predicted rate of each combination by a fit without its group; a missing ridge is chosen within the others."""
    names = np.array(groups)
    predicted = np.full(len(observed), np.nan)
    for name in dict.fromkeys(groups):
        others = names != name
        inner = [group for group in groups if group != name]
        size = _best_ridge(table[others], observed[others], inner) if ridge is None else ridge
        model = _ridge(table[others], _logit(observed[others]), size)
        predicted[~others] = [_rate(value) for value in _apply(table[~others], *model)]
    return predicted


def logit_error(predicted: Table, observed: Table) -> float:
    """Mean squared error on the logit scale."""
    return float(((_logit(predicted) - _logit(observed)) ** 2).mean())


def spearman(first: Table, second: Table) -> float:
    """Rank correlation; ``nan`` without spread."""
    x, y = ranks(first), ranks(second)
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) > 0 and np.ptp(y) > 0 else math.nan


def r_squared(predicted: Table, observed: Table) -> float:
    """Share of the variance of the observed rates that is predicted; below 0 where their mean would be better.

    Returns:
        ``nan`` where the observed rates differ by less than :data:`FLOOR`.
    """
    if np.ptp(observed) < FLOOR:
        return math.nan
    return 1 - float(((observed - predicted) ** 2).sum() / ((observed - observed.mean()) ** 2).sum())


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], groups: Sequence[str], draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval at 95 % of a statistic of chosen combinations, resampling groups and combinations in them."""
    rng = np.random.default_rng(seed)
    names = np.array(groups)
    members = [np.flatnonzero(names == name) for name in dict.fromkeys(groups)]
    found = []
    for _ in range(draws):
        chosen = [members[i] for i in rng.integers(len(members), size=len(members))]
        value = statistic(np.concatenate([rng.choice(group, size=len(group)) for group in chosen]))
        if math.isfinite(value):
            found.append(value)
    if not found:
        return math.nan, math.nan
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def ranks(values: Table) -> Table:
    """Ranks from 0; ties share their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Table = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return found


def _best_ridge(table: Table, observed: Table, groups: Sequence[str]) -> float:
    """The ridge with the least squared error on groups left out; the middle one where there is one group only."""
    if len(set(groups)) < 2:
        return RIDGES[len(RIDGES) // 2]
    wanted = _logit(observed)
    errors = {
        ridge: float(((_logit(left_out(table, observed, groups, ridge)) - wanted) ** 2).mean()) for ridge in RIDGES
    }
    return min(errors, key=errors.__getitem__)


def _ridge(table: Table, wanted: Table, ridge: float) -> tuple[Table, Table, Table, float]:
    """Mean and deviation of the columns, weights of the standardised columns, and intercept."""
    mean, deviation = table.mean(0), table.std(0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    standard = (table - mean) / deviation
    intercept = float(wanted.mean())
    weights = np.linalg.solve(
        standard.T @ standard + ridge * np.eye(standard.shape[1]), standard.T @ (wanted - intercept)
    )
    return mean, deviation, weights, intercept


def _apply(table: Table, mean: Table, deviation: Table, weights: Table, intercept: float) -> Table:
    found: Table = (table - mean) / deviation @ weights + intercept
    return found


def _logit(rates: Table) -> Table:
    inside = np.clip(rates, FLOOR, 1 - FLOOR)
    found: Table = np.log(inside / (1 - inside))
    return found


def _rate(logit: float) -> float:
    return float(1 / (1 + math.exp(-max(-500.0, min(500.0, logit)))))


def levels_of(path: Path) -> dict[str, float | None]:
    """The numbers of a whole dataset, as ``scan.json`` holds them."""
    levels: dict[str, float | None] = json.loads(path.read_text(encoding="utf-8"))["levels"]
    return levels
