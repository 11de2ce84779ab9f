"""From an experiment to the stages that it needs."""

from dataclasses import dataclass
from functools import cached_property

from spillover.experiments.experiment import Experiment
from spillover.experiments.measure_stages import Measures
from spillover.experiments.measures import AuditingGame, Conditional, DefenceTable, Forecast
from spillover.experiments.model_stages import Models, searches
from spillover.runs.stage import Stage


@dataclass(frozen=True)
class Cell:
    """One model of an arm, and the stage that measures it."""

    arm: str
    seed: int
    stage: Stage


@dataclass(frozen=True)
class Measured:
    """One stage of a measure, or of a search for λ, whose result goes into the report."""

    name: str
    title: str
    seed: int
    stage: Stage


class Planner:
    """The stages of an experiment; equal ones are the same object, and nothing is made here.

    Raises:
        DataError: A rows, text or question file cannot be used.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._models = Models(experiment)
        self._measures = Measures(self._models)

    @cached_property
    def cells(self) -> list[Cell]:
        """Every model of every arm, in order of seeds."""
        return [
            Cell(arm.name, seed, self._models.ask(arm, seed))
            for arm in self._models.arms.values()
            for seed in self._models.seeds(arm)
        ]

    @cached_property
    def measured(self) -> list[Measured]:
        """The searches for λ, and every measure of every seed."""
        models, found = self._models, []
        for arm in models.arms.values():
            if arm.start is None and searches(arm):
                base_seeds = models.seeds(arm) if models.own_bases(arm) else [0]
                found += [
                    Measured(f"search/{arm.name}", f"Search for λ: {arm.title}", seed, models.choice(arm, seed))
                    for seed in base_seeds
                ]
        for measure in models.experiment.measures:
            seeds = models.seeds(models.arms[next(iter(measure.arms().values()))])
            of_all = isinstance(measure, Conditional | DefenceTable | Forecast | AuditingGame)
            found += [
                Measured(measure.name, measure.title or measure.name, seed, self._measures.stage(measure, seed))
                for seed in (seeds[:1] if of_all else seeds)
            ]
        return found

    @property
    def targets(self) -> list[Stage]:
        """Everything that a run of the experiment makes."""
        return [*(cell.stage for cell in self.cells), *(part.stage for part in self.measured)]
