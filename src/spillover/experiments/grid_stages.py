"""Models over a grid of prompts: which conditions, which questions, and the stage that looks at all of them."""

from collections.abc import Sequence
from dataclasses import asdict

from spillover.core.errors import ConfigError, nearest
from spillover.data.conditions import PLAIN, Condition, over_grid, read_conditions
from spillover.data.questions import Question
from spillover.evals.verdict import enumerable
from spillover.experiments.experiment import Arm
from spillover.experiments.measures import Conditional, DefenceTable
from spillover.experiments.model_stages import Models
from spillover.runs.stage import Stage


def conditional_stage(measure: Conditional, models: Models) -> Stage:
    """All models of all arms, each asked over the grid.

    Where answers are sampled, which takes long, a stage asks one family, so that a run that was stopped goes on.
    """
    grid = grid_of(measure)
    answers = {}
    for name in measure.over:
        arm = models.arms[name]
        asked = asked_over(measure, models, arm, grid)
        listed = models.experiment.judge is None and all(
            enumerable(question) and question.temperature > 0 for question in asked
        )
        for seed in models.seeds(arm):
            for family in dict.fromkeys("all" if listed else condition.family for condition in grid):
                names = [condition.name for condition in grid if listed or condition.family == family]
                part = [asdict(question) for question in asked if question.condition in names]
                what = f"{models.label(arm, seed)} over {len(names)} conditions"
                samples = 1 if listed else models.experiment.samples
                answers[f"{name}/{seed}/{family}"] = models.answered(arm, seed, part, samples, what)
    config = {
        "label": models.experiment.label,
        "grid": {condition.name: {"family": condition.family, "text": condition.text} for condition in grid},
        "arms": {
            name: {"title": models.arms[name].title, "control": models.arms[name].control} for name in measure.over
        },
    }
    return Stage("conditional", f"measure {measure.name}", config, answers)


def asked_over(
    measure: Conditional | DefenceTable, models: Models, arm: Arm, grid: Sequence[Condition]
) -> list[Question]:
    """The plain questions of an arm, under every condition."""
    plainly = arm.model_copy(update={"conditions": (PLAIN,)})
    return over_grid(_of_groups(measure, models.questions(plainly)), grid, measure.most)


def grid_of(measure: Conditional | DefenceTable) -> list[Condition]:
    """The conditions of a measure."""
    plain, *altered = read_conditions(measure.grid)
    known = [name for condition in altered for name in (condition.name, condition.family)]
    for name in measure.without:
        if name not in known:
            raise ConfigError(f"measure {measure.name}: without: the grid has no '{name}'{nearest(name, known)}")
    kept = [condition for condition in altered if not {condition.name, condition.family} & set(measure.without)]
    if not kept:
        raise ConfigError(f"measure {measure.name}: without: nothing of the grid is left")
    return [plain, *kept]


def _of_groups(measure: Conditional | DefenceTable, questions: list[Question]) -> list[Question]:
    """The plain questions of the groups that a grid is asked on."""
    plain = [question for question in questions if question.condition == PLAIN]
    known = dict.fromkeys(question.group for question in plain)
    for group in measure.groups:
        if group not in known:
            raise ConfigError(f"measure {measure.name}: groups: no plain question in '{group}'{nearest(group, known)}")
    if not plain:
        raise ConfigError(f"measure {measure.name}: every question has a condition of its own; a grid needs plain ones")
    return [question for question in plain if not measure.groups or question.group in measure.groups]
