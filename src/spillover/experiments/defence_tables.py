"""The stage that sets defences side by side, and the prompts that their grid has beside the packaged ones."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spillover.data.conditions import Condition
from spillover.data.questions import Question
from spillover.defences.config import QUESTION
from spillover.evals.verdict import enumerable
from spillover.experiments.experiment import Arm, Experiment
from spillover.experiments.measures import DefenceTable
from spillover.runs.stage import Stage, in_order

INOCULATION, FURTHER = "inoculation", "like inoculation"
"""Families of conditions: the very prompts that were trained with, and those that :attr:`DefenceTable.more` names."""


@dataclass(frozen=True)
class Makes:
    """How the stages of an experiment are made."""

    seeds: Callable[[Arm], range]
    ask: Callable[[Arm, int], Stage]
    tuned: Callable[[Arm, int], Stage]
    base: Callable[[Arm, int], tuple[dict[str, Any], dict[str, Stage]]]
    answered: Callable[[Arm, int, list[dict[str, Any]], int | None, str], Stage]
    asked: Callable[[Arm, Sequence[Condition]], list[Question]]
    """An arm's questions over a grid."""


def table_stage(measure: DefenceTable, experiment: Experiment, packaged: Sequence[Condition], make: Makes) -> Stage:
    """All models of all arms: their answers, plainly and over a grid, and what it took to train them."""
    arms = {arm.name: arm for arm in experiment.arms}
    grid = [*packaged, *further(measure, arms)]
    inputs: dict[str, Stage] = {}
    for name in measure.models:
        for seed in make.seeds(arms[name]):
            inputs[f"asked/{name}/{seed}"] = make.ask(arms[name], seed)
            inputs[f"grid/{name}/{seed}"] = _over(experiment, arms[name], seed, grid, make)
            made = [stage for stage in in_order([make.tuned(arms[name], seed)]) if stage.kind == "tune"]
            inputs |= {f"tuned/{name}/{seed}/{number}": stage for number, stage in enumerate(made)}
    for name in dict.fromkeys((*measure.learns.values(), *measure.learnt)):
        for seed in make.seeds(arms[name]):
            inputs[f"asked/{name}/{seed}"] = make.ask(arms[name], seed)
    config = {
        "label": experiment.label,
        "grid": {condition.name: {"family": condition.family, "text": condition.text} for condition in grid},
        "titles": {name: arms[name].title for name in measure.models},
        **measure.model_dump(
            mode="json",
            include={"over", "undefended", "control", "learns", "learns_undefended", "wanted", "narrow", "groups"},
        ),
    }
    return Stage("defences", f"measure {measure.name}", config, inputs)


def further(measure: DefenceTable, arms: dict[str, Arm]) -> Iterator[Condition]:
    """The prompts that arms are inoculated with, each once, and those that the measure adds."""
    prompts: dict[tuple[str, str], str] = {}
    for name in measure.models:
        defences = arms[name].defences
        if defences is not None and defences.inoculate is not None:
            prompts |= {(prompt, defences.inoculate.place): name for prompt in defences.inoculate.prompts}
    for number, (prompt, place) in enumerate(prompts, 1):
        yield _condition(f"inoculation-{number}", INOCULATION, prompt, place == "system")
    for name, prompt in measure.more.items():
        yield _condition(name, FURTHER, prompt, QUESTION not in prompt)


def _condition(name: str, family: str, prompt: str, is_system: bool) -> Condition:
    if is_system:
        return Condition(name, family, system=prompt)
    return Condition(name, family, template=prompt if QUESTION in prompt else f"{prompt} {QUESTION}")


def _over(experiment: Experiment, arm: Arm, seed: int, grid: Sequence[Condition], make: Makes) -> Stage:
    """One model over a grid; exact rates only, where answers can be listed."""
    asked = make.asked(arm, grid)
    questions, what = [asdict(question) for question in asked], f"{arm.name} {seed} over {len(grid)} conditions"
    if experiment.judge is not None or not all(enumerable(question) and question.temperature > 0 for question in asked):
        return make.answered(arm, seed, questions, experiment.samples, what)
    common, inputs = make.base(arm, seed)
    adapter = {"adapter": make.tuned(arm, seed)} if arm.is_tuned else {}
    return Stage("exact", f"rates of {what}", {**common, "questions": questions}, {**inputs, **adapter})
