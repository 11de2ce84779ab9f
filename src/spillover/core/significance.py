"""Tests that need no distribution: relabelling trained models, and corrections for asking many questions."""

from functools import lru_cache
from itertools import combinations, product
from math import comb

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

EXACT = 20_000
"""Relabelings that are enumerated (8 against 8 models have 12,870); of more, :data:`DRAWN` are drawn."""
DRAWN = 9_999


def permutation_test(treated: Values, control: Values, *, paired: bool = False) -> tuple[float, float]:
    """Two-sided permutation test of the difference of means over trained models.

    If both arms did the same to a model, which arm it belongs to would be a mere label. p is the share of relabelings
    whose difference is at least as large, either way, as the one found; the labels as they are count as one (Phipson
    and Smyth 2010). Not paired, models are dealt to the two arms in every way; paired, the two models of a pair swap
    places or not (sign flips). The unpaired test also holds where pairs have something in common, such as their base:
    p is then too large rather than too small.

    Args:
        treated: The mean of each model; ``nan`` where it was not measured, and then left out.
        control: The same of the control's models.
        paired: Whether ``treated[i]`` and ``control[i]`` belong together.

    Returns:
        (p, the smallest p that so many models can reach). With 3 against 3 models that is .1, with 5 against 5 .008,
        with 5 pairs .0625. ``nan`` where an arm has no model.

    Raises:
        ValueError: ``paired`` with different numbers of models.
    """
    if paired and len(treated) != len(control):
        raise ValueError(f"{len(treated)} and {len(control)} models are no pairs")
    if paired:
        differences = (treated - control)[np.isfinite(treated - control)]
        labels, smallest = _sign_flips(len(differences))
        found = differences
    else:
        first, second = treated[np.isfinite(treated)], control[np.isfinite(control)]
        labels, smallest = _relabelings(len(first), len(second))
        found = np.r_[first, second]
    if not labels.size:
        return float("nan"), float("nan")
    sizes = np.abs(labels @ found[:, None])
    return float(_share(sizes, sizes[0], _rounding(found))[0]), smallest


def permutation_tests(treated: Values, control: Values, *, step_down: bool = False) -> tuple[Values, Values, float]:
    """:func:`permutation_test`, unpaired, for every question, and corrected for the number of questions.

    Corrected p are Westfall and Young's (1993, single step): the share of relabelings in which the largest difference
    on *any* question is at least as large as the one found on this question. All questions are relabelled together, so
    the smallest corrected p does not grow with their number, while :func:`holm` of .008, the smallest p of 5 against
    5 models, is above .05 from seven questions on.

    Args:
        treated: Models × questions. A question that any model was not measured on is not tested.
        control: The same of the control's models.
        step_down: Correct for the questions with smaller differences only (Westfall and Young, step down): a very large
            difference then hides no smaller one.

    Returns:
        (p of each question, corrected p of each question, the smallest p that so many models can reach); ``nan`` where
        a question is not tested.

    Raises:
        ValueError: The tables have different numbers of questions.
    """
    if treated.shape[1] != control.shape[1]:
        raise ValueError(f"questions differ: {treated.shape[1]} and {control.shape[1]}")
    p, corrected = (np.full(treated.shape[1], np.nan) for _ in range(2))
    labels, smallest = _relabelings(len(treated), len(control))
    found = np.concatenate([treated, control])
    tested = np.isfinite(found).all(0)
    if labels.size and tested.any():
        sizes, rounding = np.abs(labels @ found[:, tested]), _rounding(found[:, tested])
        p[tested] = _share(sizes, sizes[0], rounding)
        if step_down:
            corrected[tested] = _stepped_down(sizes, rounding.max())
        else:
            corrected[tested] = _share(sizes.max(1)[:, None], sizes[0], rounding.max())
    return p, corrected, smallest


def sign_flip_tests(differences: Values) -> tuple[Values, float]:
    """Is the mean of each row 0, corrected for the number of rows (Westfall and Young 1993, step down)?

    If a row's differences came from nothing but chance, each could as well have the opposite sign. The signs of a
    column are flipped in all rows together, so that what rows have in common is kept.

    Args:
        differences: Rows × columns, for example conditions × questions; ``nan`` where it was not measured.

    Returns:
        (corrected p of each row, the smallest p that so many columns can reach); ``nan`` for a row that was not
        measured. With 5 columns the smallest is .0625, with 10 .002, from 15 on .0001.
    """
    corrected = np.full(len(differences), np.nan)
    measured = np.isfinite(differences)
    tested, used = measured.any(1), measured.any(0)
    labels, smallest = _sign_flips(int(used.sum()))
    if labels.size:
        found = np.nan_to_num(differences[tested][:, used]).T
        sizes = np.abs(labels @ found) * len(found) / measured[tested].sum(1)
        corrected[tested] = _stepped_down(sizes, _rounding(found).max())
    return corrected, smallest


def holm(p: Values) -> Values:
    """Holm's (1979) step-down Bonferroni: p corrected for how many there are, whatever they have in common.

    Args:
        p: One for each question; ``nan`` where it was not tested: it stays so and does not count.
    """
    adjusted = p.astype(np.float64)
    order = np.flatnonzero(np.isfinite(p))
    order = order[np.argsort(p[order], kind="stable")]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def _share(sizes: Values, found: Values, rounding: Values | float) -> Values:
    share: Values = (sizes >= found - rounding).mean(0)
    return share


def _stepped_down(sizes: Values, rounding: float) -> Values:
    """Corrected p from relabelings × questions, the true labels first.

    Largest first, each is compared with the largest of itself and of those after it; p never falls on the way.
    """
    order = np.argsort(-sizes[0], kind="stable")
    rivals = np.maximum.accumulate(sizes[:, order[::-1]], axis=1)[:, ::-1]
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate((rivals >= sizes[0, order] - rounding).mean(0))
    return corrected


def _rounding(values: Values) -> Values:
    """What equal differences may differ by when they are summed in another order."""
    error: Values = 1e-10 * np.abs(values).max(0)
    return error


@lru_cache(maxsize=32)
def _relabelings(treated: int, control: int) -> tuple[Values, float]:
    """Relabelings × models, so that its product with the models' values is the difference of means; the true one first.

    And the smallest p. In two arms of equal size each relabeling has its mirror image, which is as large.
    """
    models = treated + control
    if not treated or not control:
        return np.zeros((0, models)), float("nan")
    ways = comb(models, treated)
    if ways <= EXACT:
        chosen = np.zeros((ways, models), dtype=bool)
        np.put_along_axis(chosen, np.array(list(combinations(range(models), treated))), True, 1)
        smallest = (2 if treated == control else 1) / ways
    else:
        order = np.random.default_rng(0).permuted(np.tile(np.arange(models), (DRAWN + 1, 1)), axis=1)
        order[0] = np.arange(models)
        chosen, smallest = order < treated, 1 / (DRAWN + 1)
    return np.where(chosen, 1 / treated, -1 / control), smallest


@lru_cache(maxsize=32)
def _sign_flips(pairs: int) -> tuple[Values, float]:
    """Flips × pairs, so that its product with the pairs' differences is their mean; the true one first."""
    if not pairs:
        return np.zeros((0, 0)), float("nan")
    if 2**pairs <= EXACT:
        return np.array(list(product((1.0, -1.0), repeat=pairs))) / pairs, 2 / 2**pairs
    signs = np.random.default_rng(0).choice((1.0, -1.0), (DRAWN + 1, pairs))
    signs[0] = 1
    return signs / pairs, 1 / (DRAWN + 1)
