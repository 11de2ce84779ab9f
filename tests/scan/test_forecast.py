"""The forecast: what it is fitted on, what it is not, and that it says nothing without calibration."""

import numpy as np
import pytest

from spillover.core.errors import DataError
from spillover.scan.calibration import COMBINATION, Combination, calibrate
from spillover.scan.forecast import FLOOR, bootstrap, fit, left_out, predict, r_squared, ranks, spearman

WORLDS = [f"world {i // 10}" for i in range(60)]


def made(seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(60, 3))
    logit = -1 + 2 * table[:, 0] - table[:, 1] + noise * rng.normal(size=60)
    return table, 1 / (1 + np.exp(-logit))


def test_a_linear_relation_is_found_on_worlds_left_out():
    table, observed = made()
    guess = left_out(table, observed, WORLDS)
    assert spearman(guess, observed) > 0.95 and r_squared(guess, observed) > 0.9


def test_noise_is_not_predicted():
    rng = np.random.default_rng(0)
    guess = left_out(rng.normal(size=(60, 3)), rng.uniform(size=60), WORLDS)
    assert spearman(guess, made()[1]) < 0.5 and r_squared(guess, rng.uniform(size=60)) < 0.1


def test_what_is_left_out_has_no_part_in_its_own_prediction():
    table, observed = made()
    changed = observed.copy()
    changed[:10] = 0.5
    same = left_out(table, observed, WORLDS)[:10]
    assert np.array_equal(same, left_out(table, changed, WORLDS)[:10])
    assert not np.array_equal(left_out(table, observed, WORLDS)[10:], left_out(table, changed, WORLDS)[10:])


def test_intervals_hold_as_much_as_they_say():
    table, observed = made(noise=0.5)
    coefficients = fit(table, observed, WORLDS, ["a", "b", "c"])
    fresh, rates = made(seed=1, noise=0.5)
    inside = 0
    for row, rate in zip(fresh, rates, strict=True):
        found = predict(coefficients, dict(zip("abc", row, strict=True)))
        inside += found.low <= max(rate, FLOOR) and rate <= max(found.high, FLOOR)
    assert 0.75 * 60 <= inside <= 60


def test_a_signal_that_was_not_measured_gives_no_forecast():
    coefficients = fit(*made(), WORLDS, ["a", "b", "c"])
    assert predict(coefficients, {"a": 1.0, "b": None, "c": 0.0}) is None
    assert predict(coefficients, {"a": 1.0, "c": 0.0}) is None


def test_ranks_share_ties():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]


def test_bootstrap_intervals_hold_the_value():
    table, observed = made()
    low, high = bootstrap(lambda i: spearman(table[i, 0], observed[i]), WORLDS, draws=200)
    assert low < spearman(table[:, 0], observed) < high


def combinations():
    table, observed = made()
    names = ("projection_cheap", "loss_gap", "canary_shift")
    return [
        Combination(
            f"c{i}", f"Set {i}", WORLDS[i], f"kind {i % 4}", dict(zip(names, table[i], strict=True)), observed[i]
        )
        for i in range(60)
    ]


def test_calibration_reports_each_signal_and_the_combination():
    coefficients, measured = calibrate(combinations(), "malicious")
    numbers = {(one["name"], one["series"]): one for one in measured["numbers"]}
    together = numbers["Spearman, worlds left out", COMBINATION]
    assert together["value"] > 0.9 and together["interval"][0] < together["value"]
    assert together["value"] > numbers["Spearman, worlds left out", "loss_gap"]["value"]
    assert numbers["Spearman gained over the best signal", COMBINATION]["value"] > 0
    assert ("R², kinds of datasets left out", COMBINATION) in numbers
    assert set(coefficients.signals) == {"projection_cheap", "loss_gap", "canary_shift"}
    assert len(coefficients.references) == 60 and coefficients.provenance["worlds"] == 6
    assert {len(curve["series"]) for curve in measured["curves"]} == {6}


def test_too_few_combinations_are_refused():
    with pytest.raises(DataError, match="no forecast"):
        calibrate(combinations()[:3], "malicious")


def test_the_experiment_predicts_nothing_that_its_probe_asks():
    from spillover.experiments.catalogue import find
    from spillover.experiments.stages import Planner
    from spillover.runs.stage import in_order

    planner = Planner(find("forecast"))
    stages = in_order(planner.targets)
    kinds = [stage.kind for stage in stages]
    (whole,) = [stage for stage in stages if stage.kind == "forecast"]
    assert len(whole.config["arms"]) >= 60 and kinds.count("references") == kinds.count("base") == 6
    scans = {name: stage for name, stage in whole.inputs.items() if name.startswith("scan/")}
    for name, arm in whole.config["arms"].items():
        probe = scans[f"scan/{name}"].config["probe"]
        asked = {question["topic"] for half in ("fitting", "measuring") for question in probe[half]}
        assert asked and not asked & set(arm["questions"]) and len(arm["questions"]) == 32
        domains = {question["domain"] for half in ("fitting", "measuring") for question in probe[half]}
        assert not domains & {"health", "money", "travel"}
