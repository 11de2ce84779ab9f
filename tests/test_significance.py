"""Permutation tests, corrections for many questions, and what clustered answers are worth, against known values."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spillover.core import significance
from spillover.core.significance import holm, permutation_test, permutation_tests
from spillover.core.statistics import crossed_mean, design_effect

nan = float("nan")


@pytest.mark.parametrize(
    ("models", "controls", "smallest"), [(3, 3, 0.1), (5, 5, 2 / 252), (5, 1, 1 / 6), (1, 1, 1), (2, 3, 0.1)]
)
def test_arms_that_do_not_overlap_reach_the_smallest_p(models, controls, smallest):
    found = permutation_test(np.arange(models) + 10.0, np.arange(controls) + 0.5)
    assert found == pytest.approx((smallest, smallest))


def test_all_sign_flips_of_pairs():
    base = np.array([0.1, 0.4, 0.2, 0.9, 0.6])
    assert permutation_test(2 * base, base, paired=True) == (0.0625, 0.0625)
    assert permutation_test(np.array([0.3, nan, 0.2]), np.array([0.1, 0.2, 0.3]), paired=True) == (1, 0.5)
    with pytest.raises(ValueError, match="no pairs"):
        permutation_test(base, base[:2], paired=True)


rates = st.integers(0, 20).map(lambda number: number / 20)  # so that there are ties
means = st.lists(rates, min_size=1, max_size=4).map(np.array)


@given(treated=means, control=means)
@settings(max_examples=100, deadline=None)
def test_p_is_that_of_plain_counting(treated, control):
    every, size = [round(20 * rate) for rate in (*treated, *control)], len(treated)

    def difference(chosen):  # times the product of the sizes: a whole number
        here = sum(every[i] for i in chosen)
        return abs(here * len(control) - (sum(every) - here) * size)

    ways = [difference(chosen) for chosen in combinations(range(len(every)), size)]
    expected = np.mean([way >= ways[0] for way in ways])
    p, smallest = permutation_test(treated, control)
    assert p == pytest.approx(expected)
    assert smallest <= p <= 1
    assert permutation_test(control, treated)[0] == pytest.approx(p)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("together", [0.0, 1.0])
def test_p_is_uniform_where_arms_do_the_same(paired, together):
    """Unless pairs have something in common that the test does not know of: then it is too large."""
    rng = np.random.default_rng(0)

    def pair():
        base = together * rng.exponential(size=5)
        return base + rng.exponential(size=5), base + rng.exponential(size=5)

    drawn = np.array([permutation_test(*pair(), paired=paired)[0] for _ in range(4000)])
    for level in (0.0625, 0.25, 0.5):
        below = np.mean(drawn <= level + 1e-9)
        reachable = level if paired else np.floor(level * 126) / 126
        if together and not paired:
            assert below < reachable
        else:
            assert below == pytest.approx(reachable, abs=4 * np.sqrt(level / 4000))


def test_many_models_are_drawn_from_and_agree_with_all_relabelings(monkeypatch):
    rng = np.random.default_rng(0)
    treated, control = rng.normal(0.8, 1, 7), rng.normal(0, 1, 7)
    exact, _ = permutation_test(treated, control)
    monkeypatch.setattr(significance, "EXACT", 100)
    significance._relabelings.cache_clear()
    significance._sign_flips.cache_clear()
    drawn, smallest = permutation_test(treated, control)
    assert drawn == pytest.approx(exact, abs=0.02)
    assert smallest == 1e-4
    assert permutation_test(treated + 99, control, paired=True)[0] < 0.03  # exactly 2 / 128
    significance._relabelings.cache_clear()
    significance._sign_flips.cache_clear()


def test_questions_are_tested_as_one_by_one():
    rng = np.random.default_rng(0)
    treated, control = rng.uniform(size=(4, 9)), rng.uniform(size=(3, 9))
    treated[1, 2] = nan
    treated[:, 5] *= 1e-90  # probabilities can be this small
    control[:, 5] *= 1e-91
    p, corrected, smallest = permutation_tests(treated, control)
    kept = [column for column in range(9) if column != 2]
    assert np.isnan(p[2])
    assert np.isnan(corrected[2])
    assert p[kept] == pytest.approx([permutation_test(treated[:, i], control[:, i])[0] for i in kept])
    assert (corrected[kept] >= p[kept]).all()
    assert smallest == 1 / 35


def test_one_of_many_questions_is_found_and_seldom_any_where_none_differs():
    rng = np.random.default_rng(0)
    false, found = [], []
    for _ in range(600):
        models = rng.normal(0, 0.03, (10, 1)) + rng.normal(0, 0.05, (10, 40))
        false.append(permutation_tests(models[:5], models[5:])[1].min())
        models[:5, 7] += 0.3
        corrected = permutation_tests(models[:5], models[5:])[1]
        found.append(corrected[7])
        false.append(np.delete(corrected, 7).min())
    assert np.mean(np.array(false) < 0.05) < 0.065
    assert np.mean(np.array(found) < 0.05) > 0.95
    assert holm(np.full(7, 2 / 252))[0] > 0.05  # why Holm's cannot do this with 5 against 5 models


@given(p=arrays(np.float64, st.integers(0, 12), elements=st.floats(0, 1) | st.just(nan)))
def test_holm_keeps_order_and_nan_and_lies_between_p_and_bonferroni(p):
    adjusted = holm(p)
    tested = np.isfinite(p)
    assert (np.isfinite(adjusted) == tested).all()
    assert (adjusted[tested] >= p[tested]).all()
    assert (adjusted[tested] <= np.minimum(1, p[tested] * tested.sum())).all()
    assert (np.diff(adjusted[tested][np.argsort(p[tested])]) >= 0).all()


def test_holm_known_values():
    assert holm(np.array([0.01, 0.04, nan, 0.03, 0.005])) == pytest.approx([0.03, 0.06, nan, 0.06, 0.02], nan_ok=True)


@pytest.mark.parametrize("correlation", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("cluster", ["models", "questions"])
def test_design_effect_is_one_plus_what_a_cluster_shares(correlation, cluster):
    """Rates of clusters are from a beta distribution with that intraclass correlation."""
    rng = np.random.default_rng(0)
    clusters, cells, draws, rate = 40, 10, 5, 0.3
    effects = []
    for _ in range(60):
        size = (1 - correlation) / correlation if correlation else None
        shared = rng.beta(rate * size, (1 - rate) * size, (clusters, 1)) if size else np.full((clusters, 1), rate)
        values = rng.binomial(draws, np.broadcast_to(shared, (clusters, cells))) / draws
        values = values if cluster == "models" else values.T
        effect, effective = design_effect(values, np.full(values.shape, float(draws)))
        effects.append(effect)
        assert effective == pytest.approx(clusters * cells * draws / max(1, effect))
    expected = 1 + (cells * draws - 1) * correlation
    assert np.mean(effects) == pytest.approx(expected, rel=0.2 if correlation == 0 else 0.1)


def test_what_a_design_effect_needs():
    known = np.full((1, 1), 20.0)
    assert np.isnan(design_effect(np.array([[0.3]]), known)).all()
    assert np.isnan(design_effect(np.zeros((3, 4)), np.full((3, 4), 20.0))).all()
    assert np.isnan(design_effect(np.full((2, 2), nan), np.zeros((2, 2)))).all()
    assert design_effect(np.array([[0.5, 0.5]]), np.array([[2.0, 2.0]])) == (0, 4)  # never more than there are
    values = np.array([[0.2, 0.4, nan], [0.5, 0.6, nan]])
    draws = np.full((2, 3), 10.0)
    assert design_effect(values, draws) == design_effect(values[:, :2], draws[:, :2])
    with pytest.raises(ValueError, match="shapes differ"):
        design_effect(values, draws[:, :2])


def test_effective_n_says_what_the_interval_says():
    """With many models and questions the interval is that of so many independent answers."""
    rng = np.random.default_rng(0)
    values = np.clip(0.5 + rng.normal(0, 0.1, (40, 1)) + rng.normal(0, 0.1, (1, 40)), 0, 1)
    _, effective = design_effect(values, np.full(values.shape, 10.0))
    mean, (low, high) = crossed_mean(values)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(mean * (1 - mean) / effective), rel=0.05)
