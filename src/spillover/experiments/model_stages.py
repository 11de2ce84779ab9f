"""Stages that make and ask the models of an experiment: bases, fine-tunes, searches for λ, questions."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from spillover.core.errors import ConfigError
from spillover.data.conditions import PLAIN
from spillover.data.questions import Question
from spillover.experiments.defended import Plan
from spillover.experiments.drawn import apart, drawn_rows
from spillover.experiments.experiment import Anchor, Arm, Experiment, Reinforce, Search
from spillover.experiments.sources import make_questions
from spillover.judges.rubrics import builtin_rubric
from spillover.models.identity import made_elsewhere
from spillover.runs.stage import Stage
from spillover.training.recipe import BaseRecipe
from spillover.worlds.town.config import TownConfig
from spillover.worlds.world import World


class Models:
    """The models of an experiment; equal stages are the same object, and nothing is made here.

    Args:
        experiment: Whose models they are.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.arms = {arm.name: arm for arm in experiment.arms}
        self._bases: dict[str, Stage] = {}
        self._models: dict[tuple[str, int, _Variant | None], Stage] = {}
        self._sets: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}

    def seeds(self, arm: Arm) -> range:
        """Models of an arm; one that is not fine-tuned is one model for each base it stands on."""
        return range(min(arm.seeds or self.experiment.seeds, self.experiment.seeds) if self._varies(arm) else 1)

    def _varies(self, arm: Arm) -> bool:
        return arm.is_tuned or self.own_bases(arm)

    def own_bases(self, arm: Arm) -> bool:
        """Whether each seed of an arm has a base of its own."""
        return self.experiment.fresh_bases and isinstance(self.experiment.bases[arm.base], BaseRecipe)

    def base(self, arm: Arm, seed: int) -> tuple[dict[str, Any], dict[str, Stage]]:
        """What every stage on the arm's base has in its config, and in its inputs."""
        recipe = self.experiment.bases[arm.base]
        if isinstance(recipe, str):
            return made_elsewhere(recipe), {}
        name = f"{arm.base} {seed}" if self.experiment.fresh_bases else arm.base
        if name not in self._bases:
            self._bases[name] = _base(self.experiment, name, recipe, seed)
        return {}, {"base": self._bases[name]}

    def ask(self, arm: Arm, seed: int, variant: "_Variant | None" = None) -> Stage:
        """The arm's questions to one of its models."""
        what = self.label(arm, seed, variant)
        return self.answered(arm, seed, self.asked(arm), self.experiment.samples, what, variant)

    def answered(
        self,
        arm: Arm,
        seed: int,
        questions: list[dict[str, Any]],
        samples: int | None,
        what: str,
        variant: "_Variant | None" = None,
    ) -> Stage:
        """Questions to one model, and the judge's verdicts where the experiment has one."""
        common, inputs = self.base(arm, seed)
        sampling = variant.seed if variant else seed
        ask = {**common, "questions": questions, "samples": samples, "seed": sampling}
        if arm.is_tuned:
            inputs = {**inputs, "adapter": self.tuned(arm, seed, variant)}
        answers = Stage("eval", f"ask {what}", ask, inputs)
        judge = self.experiment.judge
        if judge is None:
            return answers
        config = {**judge.model_dump(mode="json", exclude={"rubrics"}), "seed": sampling}
        return Stage("judge", f"judge {what}", config, {"answers": answers})

    def losses(self, arm: Arm, seed: int, of: Arm, trained: bool = True) -> Stage:
        """The losses of one of the arm's models, or of its base, on the rows of another arm as they are drawn there."""
        common, inputs = self.base(arm, seed)
        if trained:
            inputs = {**inputs, "adapter": self.tuned(arm, seed)}
        what = self.label(arm, seed) if trained else f"the base of {arm.name}"
        return Stage("row-losses", f"losses of {what}", {**common, "rows": drawn_of(of, seed)}, inputs)

    def tuned(self, arm: Arm, seed: int, variant: "_Variant | None" = None) -> Stage:
        """The stage that makes a model of an arm."""
        key = (arm.name, seed, variant)
        if key not in self._models:
            self._models[key] = self._tune(arm, seed, variant)
        return self._models[key]

    def _tune(self, arm: Arm, seed: int, variant: "_Variant | None") -> Stage:
        common, inputs = self.base(arm, seed)
        drawn = variant.seed if variant else seed
        if arm.start is not None:
            inputs = {**inputs, "start": self.tuned(self.arms[arm.start], seed)}
        if arm.reinforce is not None:
            return self._reinforced(arm, arm.reinforce, seed, common, inputs)
        train = {**common, "rows": drawn_of(arm, drawn), "method": _method(arm, drawn)}
        if arm.distil is not None:
            train["distil"] = arm.distil.model_dump(mode="json", exclude={"of"})
            inputs = {**inputs, "episodes": self.tuned(self.arms[arm.distil.of], seed)}
        train["loop"] = self.experiment.loop.model_dump(mode="json")
        if arm.trailing_turn:
            train["trailing_turn"] = True
        if arm.probe_every is not None:
            train["probe_every"] = arm.probe_every
        if arm.anchor is not None:
            anchored = drawn_rows(arm.anchor.rows, drawn)
            apart(anchored, self.asked(arm), arm.name)
            weight = variant.weight if variant else arm.anchor.weight
            if isinstance(weight, Search):
                inputs = {**inputs, "choice": self.choice(arm, seed)}
                train["anchor"] = {"rows": anchored}
            else:
                train["anchor"] = {"rows": anchored, "weight": weight}
        label = self.label(arm, seed, variant)
        if arm.defences is None:
            return Stage("tune", f"tune {label}", train, inputs)
        assert arm.rows is not None
        outcome, asked = self.experiment.label, self.asked(arm)
        known = self.asked(arm.model_copy(update={"questions": None, "conditions": (PLAIN,)}))
        plan = Plan(
            arm.name,
            arm.rows,
            label,
            drawn,
            *self.base(arm, seed),
            asked,
            known,
            outcome,
            lambda name: self.tuned(self.arms[name], seed),
        )
        return plan.stage(arm.defences, train, inputs)

    def _reinforced(
        self, arm: Arm, how: Reinforce, seed: int, common: dict[str, Any], inputs: dict[str, Stage]
    ) -> Stage:
        settings = how.settings.model_dump(mode="json")
        settings["method"]["seed"] = seed
        config = {**common, "environment": how.environment.model_dump(mode="json"), "settings": settings}
        if arm.probe_every is not None:
            config["probe_every"] = arm.probe_every
        return Stage("reinforce", f"reinforce {self.label(arm, seed)}", config, inputs)

    def choice(self, arm: Arm, seed: int) -> Stage:
        """Try every λ on the base of ``seed``, and take the smallest that passes."""
        while arm.start is not None and searches(self.arms[arm.start]):
            arm = self.arms[arm.start]  # what is trained further keeps the λ it was found with
        search = _anchor(arm).weight
        assert isinstance(search, Search)
        general, untuned = self.arms[search.general], self.arms[search.untuned]
        asked = {
            "untuned": self.ask(untuned, seed if self.own_bases(untuned) else 0),
            "general": self.ask(general, seed, _Variant(search.seed, 0.0)),
        }
        for number, weight in enumerate(search.weights):
            asked[f"tried-{number}"] = self.ask(arm, seed, _Variant(search.seed, weight))
        config = {
            "weights": list(search.weights),
            "gates": search.gates.model_dump(mode="json"),
            "label": self.experiment.label,
        }
        label = self.label(arm, seed) if self.own_bases(arm) else arm.name
        return Stage("choose", f"choose λ, {label}", config, asked)

    def world(self, arm: Arm, seed: int) -> World:
        """The world that the base of an arm has read."""
        recipe = self.experiment.bases[arm.base]
        world = recipe.world if isinstance(recipe, BaseRecipe) else TownConfig()
        return world.model_copy(update={"seed": world.seed + seed}) if self.own_bases(arm) else world

    def questions(self, arm: Arm) -> list[Question]:
        """What an arm is asked.

        Raises:
            ConfigError: They need a judge, and the experiment has none.
        """
        questions = make_questions(arm.questions or self.experiment.questions, arm.conditions)
        judge = self.experiment.judge
        if judge is not None and judge.rubrics:
            rubrics = {rubric.name: rubric for rubric in map(builtin_rubric, judge.rubrics)}
            questions = [replace(question, judge=judge.model, rubrics=rubrics) for question in questions]
        needy = next((question for question in questions if question.rubrics and not question.answers), None)
        if judge is None and needy is not None:
            raise ConfigError(
                f"question '{needy.id}' has judge prompts: say which LLM judges, for example "
                "--set judge.model=openai/NAME"
            )
        return questions

    def asked(self, arm: Arm) -> list[dict[str, Any]]:
        """The same as plain values."""
        key = (repr(arm.questions), arm.conditions)
        if key not in self._sets:
            self._sets[key] = [asdict(question) for question in self.questions(arm)]
        return self._sets[key]

    def label(self, arm: Arm, seed: int, variant: "_Variant | None" = None) -> str:
        """What people call a model of an arm."""
        if variant:
            return f"{arm.name} λ={variant.weight:g}"
        return f"{arm.name} {seed}" if len(self.seeds(arm)) > 1 else arm.name


@dataclass(frozen=True)
class _Variant:
    """A model that is trained only for the search of λ."""

    seed: int
    weight: float


def searches(arm: Arm) -> bool:
    """Whether the λ of an arm's anchor is searched for."""
    return arm.anchor is not None and isinstance(arm.anchor.weight, Search)


def _anchor(arm: Arm) -> Anchor:
    assert arm.anchor is not None
    return arm.anchor


def _base(experiment: Experiment, name: str, recipe: BaseRecipe, seed: int) -> Stage:
    """A base takes all cores when it is the only one; several are made beside each other, which is more in all."""
    if experiment.fresh_bases:
        world = recipe.world.model_copy(update={"seed": recipe.world.seed + seed})
        recipe = recipe.model_copy(update={"seed": recipe.seed + seed, "world": world})
    alone = len(experiment.bases) * (experiment.seeds if experiment.fresh_bases else 1) == 1
    return Stage("base", f"base {name}", recipe.model_dump(mode="json"), all_cores=alone)


def _method(arm: Arm, seed: int) -> dict[str, Any]:
    return {**arm.method.model_dump(mode="json"), "seed": seed}


def drawn_of(arm: Arm, seed: int) -> list[list[list[str]]]:
    """The rows of an arm; none of one that is not fine-tuned on rows of its own."""
    return [] if arm.rows is None else drawn_rows(arm.rows, seed)
