"""The detector on simulated series: it finds what is there, and says none where nothing is."""

import numpy as np
import pytest

from spillover.analysis.change import crossing, peak, risen, steepest

STEPS = np.arange(60) * 5.0


def share(series, find) -> float:
    rng = np.random.default_rng(0)
    return float(np.mean([find(STEPS, series(rng)) is not None for _ in range(300)]))


def smoothed(rng, width):
    return np.convolve(rng.normal(size=len(STEPS) + width - 1), np.ones(width) / width, "valid")


NOTHING = {
    "constant": lambda rng: np.full(60, 0.3),
    "noise": lambda rng: rng.normal(size=60),
    "falling": lambda rng: 3 * np.exp(-STEPS / 40) + 0.1 * rng.normal(size=60),
    "rising": lambda rng: STEPS / 100 + 0.1 * rng.normal(size=60),
    "not measured": lambda rng: np.full(60, np.nan),
}


@pytest.mark.parametrize("name", NOTHING)
def test_no_peak_where_there_is_none(name):
    assert share(NOTHING[name], peak) <= 0.02


def test_windows_that_share_data_need_the_lag():
    assert share(lambda rng: smoothed(rng, 4), lambda steps, values: peak(steps, values, lag=4)) <= 0.02
    assert share(lambda rng: smoothed(rng, 4), peak) > 0.2


@pytest.mark.parametrize("at", [60.0, 100.0, 200.0])
def test_a_peak_is_found_within_a_probe(at):
    rng = np.random.default_rng(1)
    found = [peak(STEPS, np.exp(-(((STEPS - at) / 20) ** 2)) + 0.05 * rng.normal(size=60)) for _ in range(50)]
    assert all(step is not None and abs(step - at) <= 10 for step in found)
    assert np.mean([abs(step - at) for step in found if step is not None]) < 5


def test_a_peak_of_the_warm_up_or_of_no_size_does_not_count():
    early = np.exp(-(((STEPS - 20) / 8) ** 2))
    assert peak(STEPS, early) == 20
    assert peak(STEPS, early, after=40) is None
    assert peak(STEPS, early, smallest=1.5) is None
    assert peak(STEPS[:6], early[:6]) is None  # too few points to say


def test_half_of_a_rise():
    rates = 0.02 + 0.8 / (1 + np.exp(-(STEPS - 150) / 10))
    assert risen(STEPS, rates) == pytest.approx(150, abs=1)
    assert steepest(STEPS, rates) == pytest.approx(150, abs=5)
    assert risen(STEPS, 0.02 + 0.01 * (rates - 0.02)) is None  # too small a rise to speak of
    assert risen(STEPS, rates[::-1]) is None
    assert share(lambda rng: 0.3 * rng.normal(size=60), risen) <= 0.02
    assert risen(STEPS, rates, share=0.9) == pytest.approx(150 + 10 * np.log(9), abs=1)
    rates[10] = 1.0  # one probe by itself is not a rise
    assert risen(STEPS, rates) == pytest.approx(150, abs=1)


def test_crossing_is_interpolated_and_may_be_missing():
    assert crossing([0, 10, 20, 30], [0.0, 0.2, 0.4, 0.4], 0.3) == pytest.approx(15)
    assert crossing([0, 10, 20], [0.5, 0.6, 0.7], 0.3) == 0
    assert crossing([0, 10, 20], [0.0, 0.1, 0.2], 0.3) is None
