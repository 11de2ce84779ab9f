"""The steps of change of a whole fine-tuning, put together from made-up series."""

import numpy as np
import pytest

from spillover.analysis.dynamics import Probed, _numbers, when

STEPS = list(range(0, 305, 5))
ASKED = list(range(0, 310, 10))
CONFIG = {"inside": "in", "outside": ["out"]}


def probed(turn, gradient, inside, outside, tail):
    """Each step is where that series changes; None for a series in which nothing happens."""
    rng = np.random.default_rng(0)
    at, asked = np.array(STEPS, dtype=float), np.array(ASKED, dtype=float)

    def bump(step, width=12.0):
        return np.zeros(len(at)) if step is None else np.exp(-(((at - step) / width) ** 2))

    def rise(x, step):
        return np.zeros(len(x)) if step is None else 1 / (1 + np.exp(-(x - step) / 8))

    rates = {"in": list(0.01 + 0.9 * rise(asked, inside)), "out": list(0.02 + 0.6 * rise(asked, outside))}
    return Probed(
        STEPS,
        {"k = 10": list(0.97 - 0.5 * bump(turn) + 0.005 * rng.normal(size=len(at)))},
        {},
        list(0.3 * np.exp(1.5 * bump(gradient) + 0.05 * rng.normal(size=len(at)))),
        answer=[],
        tail=list(14 - 13 * rise(at, tail)),
        asked=ASKED,
        rates=rates,
        coherence=rates,
        scaled={"×5": {step: (0.5 if step >= 60 else 0.0, 1.0) for step in ASKED[1:11]}},
    )


def test_steps_and_distances():
    found = probed(turn=100, gradient=105, inside=120, outside=150, tail=None)
    steps = when(found, [5, 10, 15], every=5, warmup=5)
    assert steps["rotation"] == pytest.approx(100, abs=5)
    assert steps["gradient peak"] == pytest.approx(105, abs=5)
    assert steps["behaviour, in"] == pytest.approx(120, abs=2)
    assert steps["behaviour, out"] == pytest.approx(150, abs=2)
    assert steps["tail learnt"] is None
    numbers = {(one["name"], one["series"]): one["value"] for one in _numbers(found, steps, CONFIG)}
    assert numbers["steps from first to second", "behaviour, in → behaviour, out"] == pytest.approx(30, abs=3)
    assert numbers["steps apart", "rotation – gradient peak"] <= 10
    assert numbers["steps apart", "rotation – tail learnt"] is None  # not 0: there is nothing to be apart from
    earlier = numbers["steps earlier that out is half-way, scaled up", "×5"]
    assert earlier == pytest.approx(150 - 56, abs=3)  # 0.32 on the way from 0 at step 50 to 0.5 at step 60


def test_nothing_happens():
    steps = when(probed(None, None, None, None, None), [5, 10, 15], every=5, warmup=5)
    assert set(steps.values()) == {None}
    late = when(probed(None, None, None, None, 200), [5, 10, 15], every=5, warmup=5)
    assert late["tail learnt"] == pytest.approx(200, abs=3)
    assert late["tail learnt to 95 %"] == pytest.approx(200 + 8 * np.log(19), abs=4)
