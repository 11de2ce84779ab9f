"""Statistics by simulation, and config errors."""

import numpy as np
import pytest

from spillover.core.config import Config, digest
from spillover.core.errors import ConfigError
from spillover.core.statistics import crossed_difference, crossed_mean, wilson
from spillover.experiments.experiment import Experiment


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("models", "questions", "mean", "spread"),
    [
        (3, 56, 0.0, (0.5, 1.0, 0.5)),
        (3, 8, 1.2, (0.2, 1.0, 0.3)),
        (5, 8, 0.0, (0.5, 1.0, 0.5)),
        (5, 8, 1.2, (0.6, 0.3, 0.3)),
        (5, 56, -2.0, (0.5, 1.0, 0.5)),
        (10, 24, -2.0, (0.5, 1.0, 0.5)),
        (1, 40, 0.0, (0.0, 1.0, 0.0)),
        (5, 1, 0.0, (0.5, 0.0, 0.0)),
    ],
)
def test_intervals_cover_the_truth_on_clustered_data(models, questions, mean, spread):
    """Models, questions and both together add to the logit of a rate; covered is the mean of their population."""
    rng = np.random.default_rng(0)
    together = np.sqrt(np.square(spread).sum())
    truth = sigmoid(mean + together * rng.normal(size=400_000)).mean()

    def covers():
        noise = [size * rng.normal(size=shape) for size, shape in zip(spread, shapes, strict=True)]
        _, (low, high) = crossed_mean(sigmoid(mean + sum(noise)), rate=True)
        return low <= truth <= high

    shapes = ((models, 1), (1, questions), (models, questions))
    assert 0.92 <= np.mean([covers() for _ in range(1000)]) <= 0.98


@pytest.mark.parametrize(("models", "controls"), [(5, 5), (3, 3), (5, 1)])
def test_differences_to_a_control_cover_the_truth(models, controls):
    rng = np.random.default_rng(0)

    def covers():
        asked = rng.normal(0, 0.15, (1, 24))
        treated = 0.4 + asked + rng.normal(0, 0.05, (1, 24)) + rng.normal(0, 0.05, (models, 1))
        control = 0.1 + asked + rng.normal(0, 0.05, (controls, 1) if controls > 1 else (1, 24))
        _, (low, high) = crossed_difference(treated, control)
        return low <= 0.3 <= high

    assert 0.92 <= np.mean([covers() for _ in range(1000)]) <= 0.99


def test_one_value_has_no_interval_and_equal_ones_a_point():
    assert crossed_mean(np.array([[0.3]]))[0] == 0.3
    assert np.isnan(crossed_mean(np.array([[0.3]]))[1]).all()
    assert crossed_mean(np.zeros((3, 4)), rate=True) == (0.0, (0.0, 0.0))
    mean, (low, high) = crossed_mean(1e-90 * np.array([[1.0], [2.0], [3.0]]))  # probabilities can be this small
    assert low < mean < high


def test_questions_shared_with_the_control_cancel():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 0.6, (1, 40))
    treated, control = hard + 0.2 + rng.normal(0, 0.01, (5, 40)), hard + rng.normal(0, 0.01, (5, 40))
    value, (low, high) = crossed_difference(treated, control)
    assert value == pytest.approx(0.2, abs=0.01)
    assert high - low < 0.03


def test_not_measured_is_not_zero():
    table = np.array([[0.5, np.nan], [0.5, 0.5]])
    assert crossed_mean(table)[0] == 0.5
    assert np.isnan(crossed_mean(np.full((2, 2), np.nan))[0])


def test_wilson_known_value():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10)[0] == pytest.approx(0)


class Inner(Config):
    noise: float = 0


class Outer(Config):
    inner: Inner = Inner()


def test_unknown_nested_field_names_the_nearest():
    with pytest.raises(ConfigError, match=r"x\.yaml: inner\.noize: unknown field \(did you mean 'noise'\?\)"):
        Outer.parse({"inner": {"noize": 1}}, "x.yaml")


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"rinforce": {}}, r"arms\.0\.rinforce: unknown field \(did you mean 'reinforce'"),
        (
            {"reinforce": {"environment": {"kind": "code", "penlty": 1}}},
            r"arms\.0\.reinforce\.environment\.penlty: unknown field \(did you mean 'penalty'",
        ),
        ({"rows": {"arm": "bad", "domian": "x"}}, r"arms\.0\.rows\.domian: unknown field \(did you mean 'domain'"),
        ({"reinforce": {"environment": {"kind": "worksop"}}}, "'worksop' .* expected tags: 'workshop', 'code'"),
    ],
)
def test_fields_in_lists_and_choices_are_named_as_the_user_knows_them(arm, message):
    with pytest.raises(ConfigError, match=message):
        fields = {"name": "x", "title": "x", "question": "", "bases": {"main": "b"}}
        Experiment.parse({**fields, "arms": [{"name": "a", "title": "a", **arm}]}, "x.yaml")


def test_equal_content_has_an_equal_digest():
    assert digest(Outer()) == digest(Outer(inner=Inner(noise=0))) != digest(Outer(inner=Inner(noise=1)))
