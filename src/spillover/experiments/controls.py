"""An arm against its matched control: differences and their significance, as plain JSON values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.plain import plain, plain_interval
from spillover.core.significance import holm, permutation_test, permutation_tests
from spillover.core.statistics import crossed_difference

Table = NDArray[np.float64]
"""Models × questions, ``nan`` where nothing was measured."""


def against(arm: str, treated: Table, control: Table, level: float) -> dict[str, Any] | None:
    """The mean difference to the control ``arm``, its interval and its p; both tables share the question axis.

    None where either was not measured.
    """
    if not np.isfinite(treated).any() or not np.isfinite(control).any():
        return None
    difference, interval = crossed_difference(treated, control, level)
    p, smallest = permutation_test(_model_means(treated), _model_means(control))
    return {
        "arm": arm,
        "value": plain(float(np.nanmean(control))),
        "difference": plain(difference),
        "interval": plain_interval(interval),
        "p": plain(p),
        "smallest_p": plain(smallest),
    }


def questions_against(arm: str, measure: str, treated: Table, control: Table) -> Sequence[dict[str, Any] | None]:
    """:func:`against` for each question, with p corrected for their number; None without two models on both sides."""
    if min(len(treated), len(control)) < 2:
        return [None] * treated.shape[1]
    p, corrected, smallest = permutation_tests(treated, control)
    columns = zip(treated.T, control.T, p, holm(p), corrected, strict=True)
    return [
        {
            "arm": arm,
            "measure": measure,
            "value": plain(mean(theirs)),
            "difference": plain(mean(ours) - mean(theirs)),
            "p": plain(alone),
            "p_holm": plain(by_holm),
            "p_max": plain(by_largest),
            "smallest_p": plain(smallest),
        }
        for ours, theirs, alone, by_holm, by_largest in columns
    ]


def mean(values: Table) -> float:
    """Of what was measured; ``nan`` if nothing was."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _model_means(table: Table) -> Table:
    """The mean of each model that was measured at all."""
    means: Table = np.nanmean(table[np.isfinite(table).any(1)], 1)
    return means
