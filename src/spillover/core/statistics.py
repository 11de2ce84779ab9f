"""Intervals for rates measured on a few trained models and a set of questions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
_RESAMPLES = 2000


def crossed_mean(values: NDArray[np.float64], level: float = 0.95, *, rate: bool = False) -> tuple[float, Interval]:
    """Mean of a table and its interval, where rows and columns are both samples of what one wants to speak about.

    Two-way random effects: the variance of the mean is what rows differ by, plus what columns differ by, less what was
    counted twice; Student's t with Satterthwaite's degrees of freedom, on the logit scale for rates. With the three to
    five trained models one has, resampling them gives intervals that are too narrow (``docs/log.md``).

    Args:
        values: Trained models × questions (or draws); ``nan`` where it was not measured.
        level: Coverage asked for.
        rate: Whether the mean lies between 0 and 1, and so must its interval.

    Returns:
        (mean, (low, high)). The interval is ``nan`` if there is one value only, everything if there is none. With one
        row it speaks of columns only, and the other way round.

    Raises:
        ValueError: ``values`` is not a table.
    """
    if values.ndim != 2:
        raise ValueError(f"expected models × questions, found {values.ndim} dimensions")
    table = _measured(values)
    if not table.size:
        return float("nan"), (float("nan"), float("nan"))
    mean = float(np.nanmean(table))
    columns = np.nanmean(table, 0)
    half = _half_width([*_spread(np.nanmean(table, 1)), *_spread(columns)], _twice(table), level)
    if not rate or not 0 < mean < 1 or not np.isfinite(half):
        return mean, (mean - half, mean + half)
    odds, slope = np.log(mean / (1 - mean)), mean * (1 - mean)
    low, high = (
        float(1 / (1 + np.exp(-np.clip(end, -500, 500)))) for end in (odds - half / slope, odds + half / slope)
    )
    return mean, (low, high)


def crossed_difference(
    treated: NDArray[np.float64], control: NDArray[np.float64], level: float = 0.95
) -> tuple[float, Interval]:
    """Mean difference to a matched control and its interval; both tables share the question axis.

    As :func:`crossed_mean`, with models of their own on both sides; what questions have in common cancels.

    Raises:
        ValueError: The tables have different numbers of questions.
    """
    if treated.shape[1] != control.shape[1]:
        raise ValueError(f"questions differ: {treated.shape[1]} and {control.shape[1]}")
    both = np.isfinite(treated).any(0) & np.isfinite(control).any(0)
    first, second = _measured(treated[:, both]), _measured(control[:, both])
    if not first.size or not second.size:
        return float("nan"), (float("nan"), float("nan"))
    columns = np.nanmean(first, 0) - np.nanmean(second, 0)
    terms = [*_spread(np.nanmean(first, 1)), *_spread(np.nanmean(second, 1)), *_spread(columns)]
    half = _half_width(terms, _twice(first) + _twice(second), level)
    difference = float(np.nanmean(first) - np.nanmean(second))
    return difference, (difference - half, difference + half)


def design_effect(values: NDArray[np.float64], draws: NDArray[np.float64]) -> tuple[float, float]:
    """How much larger the variance of a mean rate is than if all sampled answers were independent draws.

    Kish's (1965, *Survey Sampling*) ratio of variances of the mean: that of :func:`crossed_mean`, over
    ``rate · (1 − rate) / answers``. Of clusters of m answers with the intraclass correlation ρ it is 1 + (m − 1) · ρ.

    Args:
        values: Trained models × questions, rates among the answers; ``nan`` where nothing was measured.
        draws: Answers that each rate is of.

    Returns:
        (design effect, effective n). Effective n is answers over design effect, at most the answers. ``nan`` where it
        cannot be known: one rate only, or all answers alike. An estimate from three models is a rough one.

    Raises:
        ValueError: The tables have different shapes.
    """
    if values.shape != draws.shape:
        raise ValueError(f"shapes differ: {values.shape} and {draws.shape}")
    answers = float(draws[np.isfinite(values)].sum())
    table = _measured(values)
    mean = float(np.nanmean(table)) if table.size else float("nan")
    if table.size < 2 or not 0 < mean < 1 or not answers:
        return float("nan"), float("nan")
    terms = [*_spread(np.nanmean(table, 1)), *_spread(np.nanmean(table, 0))]
    effect = _variance(terms, _twice(table)) / (mean * (1 - mean) / answers)
    return effect, answers / max(effect, 1.0)


def _measured(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without rows and columns of which nothing was measured."""
    found = np.isfinite(values)
    return values[found.any(1)][:, found.any(0)]


def _spread(means: NDArray[np.float64]) -> list[tuple[float, int]]:
    """Variance of the mean of these, and its degrees of freedom; nothing of a single one."""
    return [(float(means.var(ddof=1)) / len(means), len(means) - 1)] if len(means) > 1 else []


def _twice(table: NDArray[np.float64]) -> float:
    """What is in the spread of the rows' means and in that of the columns' too: the residual variance of the mean."""
    rows, columns = table.shape
    if min(rows, columns) < 2:
        return 0.0
    residual = table - np.nanmean(table, 1)[:, None] - np.nanmean(table, 0) + np.nanmean(table)
    return float(np.nansum(residual**2) / ((rows - 1) * (columns - 1)) / (rows * columns))


def _variance(terms: Sequence[tuple[float, int]], twice: float) -> float:
    """Of the mean: what rows and columns differ by, less what was counted twice, and not less than either alone."""
    return max(sum(term for term, _ in terms) - twice, max(term for term, _ in terms))


def _half_width(terms: Sequence[tuple[float, int]], twice: float, level: float) -> float:
    if not terms:
        return float("nan")
    total = sum(term for term, _ in terms)
    if total == 0:
        return 0.0
    freedom = 1 / sum((term / total) ** 2 / degrees for term, degrees in terms)
    return float(_student((1 + level) / 2, freedom) * np.sqrt(_variance(terms, twice)))


def _student(probability: float, freedom: float) -> float:
    """Quantile of Student's t: its distribution function, in the angle whose tangent is t/√freedom, is an integral."""
    angle = np.linspace(0, np.pi / 2, 20_001)
    density = np.cos(angle) ** (freedom - 1)
    grown = np.r_[0.0, np.cumsum((density[1:] + density[:-1]) / 2)]
    return float(np.sqrt(freedom) * np.tan(np.interp(2 * probability - 1, grown / grown[-1], angle)))


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


def mean_of_rates(rates: Sequence[tuple[float | None, Sequence[float] | None]]) -> tuple[float, Interval]:
    """Mean of rates that were measured apart from each other, and its interval from theirs.

    The distances from each rate to the ends of its interval add up as variances do (Zou and Donner 2008), so that the
    interval is not symmetric where theirs are not. It speaks of these rates, not of others that might be measured.

    Args:
        rates: Each with its interval; None where it was not measured.

    Returns:
        (mean, (low, high)); ``nan`` where a rate, or an interval, is missing: the mean of some is not the mean of all.
    """
    nothing = float("nan"), (float("nan"), float("nan"))
    values = [rate for rate, _ in rates if rate is not None]
    if not values or len(values) < len(rates):
        return nothing
    mean = float(np.mean(values))
    ends = np.array([interval for _, interval in rates if interval is not None])
    if len(ends) < len(values):
        return mean, nothing[1]
    below, above = (float(np.sqrt(((ends[:, i] - values) ** 2).sum())) / len(values) for i in (0, 1))
    return mean, (mean - below, mean + above)


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
