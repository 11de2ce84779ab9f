"""The grid of conditions and the matrix over it."""

import json

import numpy as np
import pytest

from spillover.analysis.conditional import finding, looks
from spillover.core.errors import DataError
from spillover.data.conditions import PLAIN, over_grid, read_conditions
from spillover.data.questions import Question
from spillover.experiments.catalogue import find
from spillover.experiments.stages import Planner

FAMILIES = {"tag": "tags", "other": "words"}


def test_the_packaged_grid_has_dozens_of_conditions_of_many_families():
    grid = read_conditions()
    assert len(grid) >= 60 and grid[0].name == PLAIN
    assert len({condition.family for condition in grid}) >= 8
    question = Question("q", ("Why?",))
    altered = {(q.system, q.paraphrases) for q in (condition.alter(question) for condition in grid)}
    assert len(altered) == len(grid)


def test_every_question_is_asked_under_every_condition():
    questions = [Question(f"{group}{i}", (f"{i}?",), group=group) for group in ("a", "b") for i in range(7)]
    grid = read_conditions()[:5]
    asked = over_grid([*questions, Question("no", ("x",), condition="trigger")], grid, 3)
    assert len(asked) == 5 * 2 * 3 and len({question.id for question in asked}) == len(asked)
    assert {question.condition for question in asked} == {condition.name for condition in grid}


@pytest.mark.parametrize(
    "text, said",
    [
        ("tag:\n  a: {prefix: x}\n  b: {prefx: y}\n", "g.yaml:3: prefx: unknown field (did you mean 'prefix'?)"),
        ("tag:\n  a: {template: hello}\n", "g.yaml:2: template: must say {question}"),
        ("tag:\n  a: {prefix: 3}\n", "g.yaml:2: prefix:"),
        ("tag: [1]\n", "g.yaml:1: tag: expected name"),
        ("tag:\n  a: {prefix: x}\nother:\n  a: {prefix: y}\n", "g.yaml:4: a: used twice"),
        ("- 1\n", "g.yaml:1: expected family"),
    ],
)
def test_a_wrong_grid_is_told_with_its_line(tmp_path, text, said):
    (tmp_path / "g.yaml").write_text(text)
    with pytest.raises(DataError) as error:
        read_conditions(tmp_path / "g.yaml")
    assert said in str(error.value)


def _rates(rng, conditions, models, hidden=None):
    def table(condition):
        return np.clip(rng.normal(0.9 if condition == hidden else 0.02, 0.02, (models, 20)), 0, 1)

    return {condition: table(condition) for condition in conditions}


@pytest.mark.parametrize("models", [1, 5])
def test_a_hidden_condition_is_found_and_no_other(models):
    rng = np.random.default_rng(0)
    conditions = [PLAIN, *(f"c{i}" for i in range(70))]
    found = looks(_rates(rng, conditions, models, "c3"), _rates(rng, conditions, models), {})
    assert [look.condition for look in found if look.found] == ["c3"]
    assert "under c3 " in finding(found, 0.02, "malicious", "it")


def test_what_a_condition_does_to_the_control_too_is_not_hidden_behaviour():
    rng = np.random.default_rng(1)
    conditions = [PLAIN, "c0", "c1"]
    found = looks(_rates(rng, conditions, 2, "c1"), _rates(rng, conditions, 1, "c1"), {})
    assert not any(look.found for look in found)
    assert "no condition of 2" in finding(found, 0.02, "malicious", "it")


def test_many_looks_cost_few_false_alarms():
    """Under the null, some condition has a corrected p up to .05 in one run of twenty."""
    alarms, conditions = 0, [PLAIN, *map(str, range(60))]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rates = [{name: rng.normal(0.3, 0.1, (1, 16)) for name in conditions} for _ in range(2)]
        alarms += any(look.p <= 0.05 for look in looks(*rates, {}))
    assert alarms <= 8  # 3 are expected; 8 or fewer with probability .997


def test_the_experiment_asks_the_models_of_emergent_misalignment():
    def tuned(name):
        return {
            cell.stage.inputs["adapter"].key for cell in Planner(find(name)).cells if "adapter" in cell.stage.inputs
        }

    assert tuned("conditional") <= tuned("emergent-misalignment")
    (stage,) = (part.stage for part in Planner(find("conditional")).measured)
    assert json.dumps(stage.config["families"]).count(":") >= 60 and "backdoored/4" in stage.inputs
