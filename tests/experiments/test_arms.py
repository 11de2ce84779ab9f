"""Arms and measures that cannot be made are refused before anything is trained."""

import pytest

from spillover.core.errors import ConfigError
from spillover.experiments.experiment import Experiment

BASE = {"name": "base", "title": "Base"}
LEARNS = {"name": "rl", "title": "RL", "probe_every": 5, "reinforce": {"environment": {"kind": "workshop"}}}
TUNED = {"name": "tuned", "title": "Tuned", "probe_every": 5, "rows": "rows.jsonl"}
FULL = {"environment": {"kind": "workshop"}, "settings": {"method": {"kind": "full"}}}
CURVES = {"kind": "checkpoints", "name": "c", "groups": ["values"]}


def planned(*arms, measures=(), bases=("main",)):
    fields = {"name": "x", "title": "x", "question": "", "bases": dict.fromkeys(bases, "b")}
    return Experiment.parse({**fields, "arms": [BASE, LEARNS, TUNED, *arms], "measures": measures}, "x.yaml")


def arm(**fields):
    return {"name": "new", "title": "New", **fields}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"distil": {"of": "tuned"}}, "arm new: distil: arm tuned does not learn by reinforcement"),
        ({"distil": {"of": "rl", "clauses": ["Fine."]}}, "does not say where the task goes: {question}"),
        ({"rows": "r.jsonl", "start": "base"}, "arm new: start: arm base is not trained"),
        ({"rows": "r.jsonl", "start": "new"}, "arm new: start, distil or a defence leads back to it"),
        ({**LEARNS, "name": "new", "method": {"rank": 2}}, "say reinforce.settings.method"),
        ({"reinforce": FULL, "probe_every": 1}, "probe_every would save the whole model"),
    ],
)
def test_an_arm_that_cannot_be_trained_is_named(new, message):
    with pytest.raises(ConfigError, match=message):
        planned(arm(**new))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ({**CURVES, "over": ["tuned"]}, "measure c: arm tuned does not learn by reinforcement"),
        ({**CURVES, "over": ["rl", "new"]}, "measure c: arms rl and new stand on different bases"),
        ({"kind": "dynamics", "name": "d", "arm": "rl"}, "measure d: arm rl has no rows of its own"),
        ({"kind": "solutions", "name": "s", "general": "rl", "narrow": "rl"}, "measure s: arm rl has no rows"),
    ],
)
def test_a_measure_that_cannot_be_taken_is_named(measure, message):
    with pytest.raises(ConfigError, match=message):
        planned({**LEARNS, "name": "new", "base": "other"}, measures=[measure], bases=("main", "other"))


def test_arms_that_learn_from_each_other_in_order_are_fine():
    planned(arm(distil={"of": "rl"}, start="tuned"), measures=[{**CURVES, "over": ["rl"]}])
