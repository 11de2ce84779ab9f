"""Intervals for rates measured on a few trained models and a set of questions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
_RESAMPLES = 2000


def hierarchical_bootstrap(values: NDArray[np.float64], level: float = 0.95, seed: int = 0) -> tuple[float, Interval]:
    """Mean of a table of rates and its percentile interval, resampling models and questions.

    Both are samples of what one wants to speak about, so both are drawn anew in every resample: models first, then
    the same questions for all of them, since questions are crossed with models.

    Args:
        values: Trained models × questions, each a rate in [0, 1]; ``nan`` where it was not measured.
        level: Coverage asked for.
        seed: Of the resampling.

    Returns:
        (mean, (low, high)). All are ``nan`` if nothing was measured.

    Raises:
        ValueError: ``values`` is not a table.
    """
    if values.ndim != 2:
        raise ValueError(f"expected models × questions, found {values.ndim} dimensions")
    if not np.isfinite(values).any():
        return float("nan"), (float("nan"), float("nan"))
    models, questions = values.shape
    rng = np.random.default_rng(seed)
    rows = rng.integers(models, size=(_RESAMPLES, models, 1))
    columns = rng.integers(questions, size=(_RESAMPLES, 1, questions))
    drawn = values[rows, columns]
    measured = np.isfinite(drawn).sum((1, 2))
    means = np.nansum(drawn, (1, 2))[measured > 0] / measured[measured > 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(np.nanmean(values)), (float(low), float(high))


def paired_difference(
    treated: NDArray[np.float64], control: NDArray[np.float64], level: float = 0.95, seed: int = 0
) -> tuple[float, Interval]:
    """Mean difference to a matched control and its interval; both tables share the question axis.

    Models are drawn apart for the two arms, questions together.

    Raises:
        ValueError: The tables have different numbers of questions.
    """
    if treated.shape[1] != control.shape[1]:
        raise ValueError(f"questions differ: {treated.shape[1]} and {control.shape[1]}")
    rng = np.random.default_rng(seed)
    columns = rng.integers(treated.shape[1], size=(_RESAMPLES, 1, treated.shape[1]))
    means = [
        np.nanmean(table[rng.integers(len(table), size=(_RESAMPLES, len(table), 1)), columns], (1, 2))
        for table in (treated, control)
    ]
    low, high = np.nanquantile(means[0] - means[1], [(1 - level) / 2, (1 + level) / 2])
    return float(np.nanmean(treated) - np.nanmean(control)), (float(low), float(high))


def wilson(successes: float, total: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a single binomial rate, for one model and one question.

    Raises:
        ValueError: ``total`` is not positive.
    """
    from statistics import NormalDist

    if total <= 0:
        raise ValueError("no trials")
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate = successes / total
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * float(np.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)))
    return max(0.0, centre - half), min(1.0, centre + half)


def correlation(
    x: NDArray[np.float64], y: NDArray[np.float64], groups: Sequence[int], level: float = 0.95, seed: int = 0
) -> tuple[float, Interval]:
    """Pearson's correlation and its percentile interval, resampling groups and the points in them.

    Args:
        x: One number for each point.
        y: The same.
        groups: Group of each point, for example the world that a model was made in.
        level: Coverage asked for.
        seed: Of the resampling.

    Returns:
        (r, (low, high)); ``nan`` where there are fewer than three points, or no spread.
    """
    nothing = float("nan"), (float("nan"), float("nan"))
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return nothing
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(np.array(groups) == group) for group in sorted(set(groups))]
    drawn = []
    for _ in range(_RESAMPLES):
        chosen = [members[i] for i in rng.integers(len(members), size=len(members))]
        index = np.concatenate([rng.choice(group, size=len(group)) for group in chosen])
        if np.ptp(x[index]) > 0 and np.ptp(y[index]) > 0:
            drawn.append(float(np.corrcoef(x[index], y[index])[0, 1]))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(np.corrcoef(x, y)[0, 1]), (float(low), float(high))
