"""Statistics by simulation, and config errors."""

import numpy as np
import pytest

from spillover.core.config import Config, digest
from spillover.core.errors import ConfigError
from spillover.core.statistics import hierarchical_bootstrap, paired_difference, wilson


def test_intervals_cover_the_truth_on_clustered_data():
    rng = np.random.default_rng(0)
    hits, runs = 0, 300
    for run in range(runs):
        models, questions = rng.normal(0, 0.05, (12, 1)), rng.normal(0, 0.15, (1, 40))
        table = 0.5 + models + questions + rng.normal(0, 0.05, (12, 40))
        _, (low, high) = hierarchical_bootstrap(table, seed=run)
        hits += low <= 0.5 <= high
    assert 0.90 <= hits / runs <= 0.99


def test_questions_shared_with_the_control_cancel():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 0.6, (1, 40))
    treated, control = hard + 0.2 + rng.normal(0, 0.01, (5, 40)), hard + rng.normal(0, 0.01, (5, 40))
    value, (low, high) = paired_difference(treated, control)
    assert value == pytest.approx(0.2, abs=0.01)
    assert high - low < 0.03


def test_not_measured_is_not_zero():
    table = np.array([[0.5, np.nan], [0.5, 0.5]])
    assert hierarchical_bootstrap(table)[0] == 0.5
    assert np.isnan(hierarchical_bootstrap(np.full((2, 2), np.nan))[0])


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


def test_equal_content_has_an_equal_digest():
    assert digest(Outer()) == digest(Outer(inner=Inner(noise=0))) != digest(Outer(inner=Inner(noise=1)))
