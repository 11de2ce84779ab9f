"""When something changes: the step of a peak, or of half a rise, in a series of probes; or that there is none.

Noise is judged by the series itself, so a flat or merely noisy one gives None, not the step of its largest value.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PROMINENCE = 5.0
"""How many times the noise a peak must stand above what lies on both sides of it."""
SHARE = 0.1
"""And which share of the series' whole range."""
RISE = 0.1
"""Smallest change of a rate, from its beginning to its highest level, that is called one."""
FEWEST = 7
"""Points below which nothing is said."""


def peak(
    steps: Sequence[float], values: Sequence[float], *, after: float = 0.0, lag: int = 1, smallest: float = 0.0
) -> float | None:
    """The step of the most prominent peak; None if none stands out.

    Rule: points that were not measured or lie at or before ``after`` are left out, and the rest is smoothed by a
    running median of three. The prominence of a point is its height above the higher of the lowest points before and
    behind it, so a series that only rises or only falls has none. The largest must be at least :data:`PROMINENCE`
    times the noise, :data:`SHARE` of the range, and ``smallest``; the step is that of the largest unsmoothed value
    among it and its neighbours. The noise is that of :func:`noise`.

    Args:
        steps: Ascending.
        values: One a step; ``nan`` where it was not measured.
        after: End of the warm-up, in steps.
        lag: Points from which on two values share no data, where each is computed over a window.
        smallest: Prominence from which on a peak means anything, in the units of ``values``.
    """
    at, found = _measured(steps, values, after)
    if len(found) < max(FEWEST, 2 * lag + 3):
        return None
    smooth = _median_of_three(found)
    before, behind = np.minimum.accumulate(smooth), np.minimum.accumulate(smooth[::-1])[::-1]
    prominence = smooth - np.maximum(before, behind)
    best = int(np.argmax(prominence))
    needed = max(PROMINENCE * noise(found, lag), SHARE * float(np.ptp(smooth)), smallest)
    if not 0 < prominence[best] >= needed:
        return None
    start = max(0, best - 1)  # the median flattens a top over its neighbours
    return float(at[start + int(np.argmax(found[start : best + 2]))])


def risen(
    steps: Sequence[float], values: Sequence[float], *, share: float = 0.5, smallest: float = RISE
) -> float | None:
    """Where a series has risen ``share`` of the way from its first value to its highest; None if it does not rise.

    Rule: smoothed by a running median of three, the series must rise by at least ``smallest`` and by
    :data:`PROMINENCE` times its noise (see :func:`peak`). The step is interpolated between the probes around it.
    """
    level = risen_level(steps, values, share=share, smallest=smallest)
    return None if level is None else crossing(steps, values, level)


def risen_level(
    steps: Sequence[float], values: Sequence[float], *, share: float = 0.5, smallest: float = RISE
) -> float | None:
    """The value ``share`` of the way up; None if the series does not rise, see :func:`risen`."""
    _, found = _measured(steps, values, -np.inf)
    if len(found) < FEWEST:
        return None
    smooth = _median_of_three(found)
    rise = float(smooth.max() - found[0])
    return float(found[0] + share * rise) if rise >= max(smallest, PROMINENCE * noise(found)) else None


def crossing(steps: Sequence[float], values: Sequence[float], level: float) -> float | None:
    """The first step at which the smoothed series reaches a level, interpolated; None if it never does."""
    at, found = _measured(steps, values, -np.inf)
    if not len(found):
        return None
    smooth = _median_of_three(found)
    above = np.flatnonzero(smooth >= level)
    if not len(above):
        return None
    first = int(above[0])
    if first == 0:
        return float(at[0])
    low, high = smooth[first - 1], smooth[first]
    return float(at[first - 1] + (level - low) / (high - low) * (at[first] - at[first - 1]))


def steepest(steps: Sequence[float], values: Sequence[float], *, smallest: float = RISE) -> float | None:
    """The middle of the interval between probes in which the smoothed series rises fastest; None as in risen."""
    if risen_level(steps, values, smallest=smallest) is None:
        return None
    at, found = _measured(steps, values, -np.inf)
    slopes = np.diff(_median_of_three(found)) / np.diff(at)
    fastest = int(np.argmax(slopes))
    return float(at[fastest] + at[fastest + 1]) / 2


def noise(values: NDArray[np.float64], lag: int = 1) -> float:
    """Robust standard deviation of what a series has beside a trend.

    1.4826 times the median absolute second difference of points ``lag`` apart, over √6; a straight trend is not in it.
    """
    bends = values[2 * lag :] - 2 * values[lag:-lag] + values[: -2 * lag]
    return float(1.4826 * np.median(np.abs(bends)) / np.sqrt(6))


def _measured(
    steps: Sequence[float], values: Sequence[float], after: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    at, found = np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64)
    kept = np.isfinite(found) & (at > after)
    return at[kept], found[kept]


def _median_of_three(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ends stay as they are."""
    smooth = values.copy()
    if len(values) > 2:
        smooth[1:-1] = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), 0)
    return smooth
