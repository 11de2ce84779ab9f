"""Numbers as plain JSON values, which have no ``nan``."""

import numpy as np

from spillover.core.statistics import Interval


def plain(value: float | None) -> float | None:
    """What was not measured is null."""
    return None if value is None or not np.isfinite(value) else round(float(value), 6)


def plain_interval(interval: Interval) -> list[float] | None:
    """Both ends, or null."""
    low, high = (plain(end) for end in interval)
    return None if low is None or high is None else [low, high]
