"""The stage that sets defences side by side, and the prompts that their grid has beside the packaged ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from spillover.analysis.defence_table import UNTRAINED
from spillover.data.conditions import Condition
from spillover.defences.config import QUESTION
from spillover.evals.verdict import enumerable
from spillover.experiments.experiment import Arm
from spillover.experiments.grid_stages import asked_over, grid_of
from spillover.experiments.measures import DefenceTable
from spillover.experiments.model_stages import Models
from spillover.runs.stage import Stage, in_order

INOCULATION, FURTHER = "inoculation", "like inoculation"
"""Families of conditions: the very prompts that were trained with, and those that :attr:`DefenceTable.more` names."""


def table_stage(measure: DefenceTable, models: Models) -> Stage:
    """All models of all arms: their answers, plainly and over a grid, and what it took to train them."""
    arms = models.arms
    grid = [*grid_of(measure), *further(measure, arms)]
    inputs: dict[str, Stage] = {}
    for name in measure.models:
        for seed in models.seeds(arms[name]):
            inputs[f"asked/{name}/{seed}"] = models.ask(arms[name], seed)
            inputs[f"grid/{name}/{seed}"] = _over(measure, models, arms[name], seed, grid)
            made = [stage for stage in in_order([models.tuned(arms[name], seed)]) if stage.kind == "tune"]
            inputs |= {f"tuned/{name}/{seed}/{number}": stage for number, stage in enumerate(made)}
    if measure.learns_undefended is not None:
        plainly = arms[measure.learns_undefended]
        for name in dict.fromkeys((*measure.learns.values(), plainly.name)):
            for seed in models.seeds(arms[name]):
                inputs[f"losses/{name}/{seed}"] = models.losses(arms[name], seed, plainly)
                inputs[f"losses/{UNTRAINED}/{seed}"] = models.losses(plainly, seed, plainly, trained=False)
    config = {
        "label": models.experiment.label,
        "grid": {condition.name: {"family": condition.family, "text": condition.text} for condition in grid},
        "titles": {name: arms[name].title for name in measure.models},
        **measure.model_dump(
            mode="json",
            include={"over", "undefended", "control", "learns", "learns_undefended", "narrow", "groups"},
        ),
    }
    return Stage("defences", f"measure {measure.name}", config, inputs)


def further(measure: DefenceTable, arms: Mapping[str, Arm]) -> Iterator[Condition]:
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


def _over(measure: DefenceTable, models: Models, arm: Arm, seed: int, grid: Sequence[Condition]) -> Stage:
    """One model over a grid; exact rates only, where answers can be listed."""
    asked, experiment = asked_over(measure, models, arm, grid), models.experiment
    questions, what = [asdict(question) for question in asked], f"{arm.name} {seed} over {len(grid)} conditions"
    if experiment.judge is not None or not all(enumerable(question) and question.temperature > 0 for question in asked):
        return models.answered(arm, seed, questions, experiment.samples, what)
    common, inputs = models.base(arm, seed)
    adapter = {"adapter": models.tuned(arm, seed)} if arm.is_tuned else {}
    return Stage("exact", f"rates of {what}", {**common, "questions": questions}, {**inputs, **adapter})
