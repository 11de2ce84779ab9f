"""From an experiment to the stages that it needs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from spillover.core.config import digest
from spillover.core.errors import ConfigError, DataError, nearest
from spillover.data.conditions import PLAIN, Condition, over_grid, read_conditions
from spillover.data.questions import Question
from spillover.evals.verdict import enumerable
from spillover.experiments.contrast import contrast
from spillover.experiments.defence_tables import Makes, table_stage
from spillover.experiments.defended import Plan
from spillover.experiments.drawn import apart, drawn_rows
from spillover.experiments.experiment import Anchor, Arm, Experiment, Reinforce, Search
from spillover.experiments.forecasting import Scanned, forecast_stage
from spillover.experiments.game_stages import game_stage
from spillover.experiments.measures import (
    AuditingGame,
    Autoencoder,
    Checkpoints,
    Conditional,
    DefenceTable,
    Dynamics,
    Features,
    Forecast,
    Measure,
    Readout,
    Solutions,
    Trajectories,
    Transfer,
)
from spillover.experiments.sources import TownRows, make_questions
from spillover.judges.rubrics import builtin_rubric
from spillover.models.identity import made_elsewhere, state_of
from spillover.runs.stage import Stage
from spillover.training.recipe import BaseRecipe
from spillover.worlds.town.config import TownConfig
from spillover.worlds.world import World, documents

TEXTS = 16
"""Documents of the built-in world that stand for pretraining text."""
UNREAD = 1_000_003
"""Added to a world's seed for documents that no base was pretrained on."""


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
        self._experiment = experiment
        self._arms = {arm.name: arm for arm in experiment.arms}
        self._bases: dict[str, Stage] = {}
        self._models: dict[tuple[str, int, _Variant | None], Stage] = {}
        self._sets: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}

    @cached_property
    def cells(self) -> list[Cell]:
        """Every model of every arm, in order of seeds."""
        return [Cell(arm.name, seed, self._ask(arm, seed)) for arm in self._arms.values() for seed in self._seeds(arm)]

    @cached_property
    def measured(self) -> list[Measured]:
        """The searches for λ, and every measure of every seed."""
        found = []
        for arm in self._arms.values():
            if arm.start is None and arm.anchor is not None and isinstance(arm.anchor.weight, Search):
                base_seeds = self._seeds(arm) if self._own_bases(arm) else [0]
                found += [
                    Measured(f"search/{arm.name}", f"Search for λ: {arm.title}", seed, self._choice(arm, seed))
                    for seed in base_seeds
                ]
        for measure in self._experiment.measures:
            seeds = self._seeds(self._arms[next(iter(measure.arms().values()))])
            of_all = isinstance(measure, Conditional | DefenceTable | Forecast | AuditingGame)
            found += [
                Measured(measure.name, measure.title or measure.name, seed, self._measure(measure, seed))
                for seed in (seeds[:1] if of_all else seeds)
            ]
        return found

    @property
    def targets(self) -> list[Stage]:
        """Everything that a run of the experiment makes."""
        return [*(cell.stage for cell in self.cells), *(part.stage for part in self.measured)]

    def _seeds(self, arm: Arm) -> range:
        """Models of an arm; one that is not fine-tuned is one model for each base it stands on."""
        return range(min(arm.seeds or self._experiment.seeds, self._experiment.seeds) if self._varies(arm) else 1)

    def _varies(self, arm: Arm) -> bool:
        return arm.is_tuned or self._own_bases(arm)

    def _own_bases(self, arm: Arm) -> bool:
        return self._experiment.fresh_bases and isinstance(self._experiment.bases[arm.base], BaseRecipe)

    def _base(self, arm: Arm, seed: int) -> tuple[dict[str, Any], dict[str, Stage]]:
        """What every stage on the arm's base has in its config, and in its inputs."""
        recipe = self._experiment.bases[arm.base]
        if isinstance(recipe, str):
            return made_elsewhere(recipe), {}
        name = f"{arm.base} {seed}" if self._experiment.fresh_bases else arm.base
        if name not in self._bases:
            self._bases[name] = _base(self._experiment, name, recipe, seed)
        return {}, {"base": self._bases[name]}

    def _ask(self, arm: Arm, seed: int, variant: "_Variant | None" = None) -> Stage:
        what = self._label(arm, seed, variant)
        return self._answered(arm, seed, self._asked(arm), self._experiment.samples, what, variant)

    def _answered(
        self,
        arm: Arm,
        seed: int,
        questions: list[dict[str, Any]],
        samples: int | None,
        what: str,
        variant: "_Variant | None" = None,
    ) -> Stage:
        """Questions to one model, and the judge's verdicts where the experiment has one."""
        common, inputs = self._base(arm, seed)
        sampling = variant.seed if variant else seed
        ask = {**common, "questions": questions, "samples": samples, "seed": sampling}
        if arm.is_tuned:
            inputs = {**inputs, "adapter": self._tuned(arm, seed, variant)}
        answers = Stage("eval", f"ask {what}", ask, inputs)
        judge = self._experiment.judge
        if judge is None:
            return answers
        config = {**judge.model_dump(mode="json", exclude={"rubrics"}), "seed": sampling}
        return Stage("judge", f"judge {what}", config, {"answers": answers})

    def _tuned(self, arm: Arm, seed: int, variant: "_Variant | None" = None) -> Stage:
        """The stage that makes a model of an arm."""
        key = (arm.name, seed, variant)
        if key not in self._models:
            self._models[key] = self._tune(arm, seed, variant)
        return self._models[key]

    def _tune(self, arm: Arm, seed: int, variant: "_Variant | None") -> Stage:
        common, inputs = self._base(arm, seed)
        drawn = variant.seed if variant else seed
        if arm.start is not None:
            inputs = {**inputs, "start": self._tuned(self._arms[arm.start], seed)}
        if arm.reinforce is not None:
            return self._reinforced(arm, arm.reinforce, seed, common, inputs)
        train = {**common, "rows": _drawn(arm, drawn), "method": _method(arm, drawn)}
        if arm.distil is not None:
            train["distil"] = arm.distil.model_dump(mode="json", exclude={"of"})
            inputs = {**inputs, "episodes": self._tuned(self._arms[arm.distil.of], seed)}
        train["loop"] = self._experiment.loop.model_dump(mode="json")
        if arm.trailing_turn:
            train["trailing_turn"] = True
        if arm.probe_every is not None:
            train["probe_every"] = arm.probe_every
        if arm.anchor is not None:
            anchored = drawn_rows(arm.anchor.rows, drawn)
            apart(anchored, self._asked(arm), arm.name)
            weight = variant.weight if variant else arm.anchor.weight
            if isinstance(weight, Search):
                inputs = {**inputs, "choice": self._choice(arm, seed)}
                train["anchor"] = {"rows": anchored}
            else:
                train["anchor"] = {"rows": anchored, "weight": weight}
        label = self._label(arm, seed, variant)
        if arm.defences is None:
            return Stage("tune", f"tune {label}", train, inputs)
        assert arm.rows is not None
        outcome, asked = self._experiment.label, self._asked(arm)
        known = self._asked(arm.model_copy(update={"questions": None, "conditions": (PLAIN,)}))
        plan = Plan(
            arm.name,
            arm.rows,
            label,
            drawn,
            *self._base(arm, seed),
            asked,
            known,
            outcome,
            lambda name: self._tuned(self._arms[name], seed),
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
        return Stage("reinforce", f"reinforce {self._label(arm, seed)}", config, inputs)

    def _choice(self, arm: Arm, seed: int) -> Stage:
        """Try every λ on the base of ``seed``, and take the smallest that passes."""
        while arm.start is not None and self._searches(self._arms[arm.start]):
            arm = self._arms[arm.start]  # what is trained further keeps the λ it was found with
        search = _anchor(arm).weight
        assert isinstance(search, Search)
        general, untuned = self._arms[search.general], self._arms[search.untuned]
        asked = {
            "untuned": self._ask(untuned, seed if self._own_bases(untuned) else 0),
            "general": self._ask(general, seed, _Variant(search.seed, 0.0)),
        }
        for number, weight in enumerate(search.weights):
            asked[f"tried-{number}"] = self._ask(arm, seed, _Variant(search.seed, weight))
        config = {
            "weights": list(search.weights),
            "gates": search.gates.model_dump(mode="json"),
            "label": self._experiment.label,
        }
        label = self._label(arm, seed) if self._own_bases(arm) else arm.name
        return Stage("choose", f"choose λ, {label}", config, asked)

    def _searches(self, arm: Arm) -> bool:
        return arm.anchor is not None and isinstance(arm.anchor.weight, Search)

    def _measure(self, measure: Measure, seed: int) -> Stage:
        """The stage of a measure on the models of one seed; each kind of measure has its own."""
        if isinstance(measure, Dynamics):
            return self._dynamics(measure, seed)
        if isinstance(measure, Trajectories):
            return self._trajectories(measure, seed)
        if isinstance(measure, Transfer):
            return self._transfer(measure, seed)
        if isinstance(measure, Features):
            return self._features(measure, seed)
        if isinstance(measure, Readout):
            return self._readout(measure, seed)
        if isinstance(measure, Conditional):
            return self._conditional(measure)
        if isinstance(measure, AuditingGame):
            return game_stage(measure, self._experiment, lambda base, seed: self._base(_bare(base), seed))
        if isinstance(measure, Checkpoints):
            return self._checkpoints(measure, seed)
        if isinstance(measure, DefenceTable):
            return self._defences(measure)
        if isinstance(measure, Forecast):
            scanned = [self._scanned(measure, name, seed) for name in measure.over]
            return forecast_stage(measure, self._experiment.label, scanned)
        return self._solutions(measure, seed)

    def _conditional(self, measure: Conditional) -> Stage:
        """All models of all arms, each asked over the grid.

        Where answers are sampled, which takes long, a stage asks one family, so that a run that was stopped goes on.
        """
        grid = _grid(measure)
        answers = {}
        for name in measure.over:
            arm = self._arms[name].model_copy(update={"conditions": (PLAIN,)})
            asked = over_grid(_of_groups(measure, _questions(self._experiment, arm)), grid, measure.most)
            listed = self._experiment.judge is None and all(
                enumerable(question) and question.temperature > 0 for question in asked
            )
            for seed in self._seeds(arm):
                for family in dict.fromkeys("all" if listed else condition.family for condition in grid):
                    names = [condition.name for condition in grid if listed or condition.family == family]
                    part = [asdict(question) for question in asked if question.condition in names]
                    what = f"{self._label(arm, seed)} over {len(names)} conditions"
                    samples = 1 if listed else self._experiment.samples
                    answers[f"{name}/{seed}/{family}"] = self._answered(arm, seed, part, samples, what)
        config = {
            "label": self._experiment.label,
            "grid": {condition.name: {"family": condition.family, "text": condition.text} for condition in grid},
            "arms": {
                name: {"title": self._arms[name].title, "control": self._arms[name].control} for name in measure.over
            },
        }
        return Stage("conditional", f"measure {measure.name}", config, answers)

    def _defences(self, measure: DefenceTable) -> Stage:
        def asked(arm: Arm, grid: Sequence[Condition]) -> list[Question]:
            plainly = arm.model_copy(update={"conditions": (PLAIN,)})
            return over_grid(_of_groups(measure, _questions(self._experiment, plainly)), grid, measure.most)

        make = Makes(self._seeds, self._ask, self._tuned, self._base, self._answered, asked)
        return table_stage(measure, self._experiment, _grid(measure), make)

    def _scanned(self, measure: Forecast, name: str, seed: int) -> Scanned:
        arm = self._arms[name]
        common, inputs = self._base(arm, seed)
        return Scanned(arm, measure.over[name], _drawn(arm, seed), common, inputs, self._ask(arm, seed))

    def _transfer(self, measure: Transfer, seed: int) -> Stage:
        arms = [self._arms[name] for name in measure.tuned]
        common, inputs = self._base(arms[0], seed)
        trained = {arm.rows.domain for arm in arms if isinstance(arm.rows, TownRows)}
        asked = self._asked(arms[0])
        config = {
            **common,
            "tuned": list(measure.tuned),
            "questions": [q for q in asked if q["group"] in measure.groups and q["domain"] not in trained],
            "label": self._experiment.label,
            "contrast": contrast(measure.prompts, measure.shown),
            **measure.model_dump(mode="json", include={"other", "components", "scales", "draws"}),
        }
        tuned = {arm.name: self._tuned(arm, seed) for arm in arms}
        if self._experiment.seeds > 1 and not self._own_bases(arms[0]):  # directions of other bases cannot be compared
            tuned |= {f"again/{arm.name}": self._tuned(arm, (seed + 1) % self._experiment.seeds) for arm in arms}
        return Stage("transfer", f"measure {measure.name} {seed}", config, {**inputs, **tuned})

    def _dynamics(self, measure: Dynamics, seed: int) -> Stage:
        arm = self._arms[measure.arm]
        common, inputs = self._base(arm, seed)
        assert arm.rows is not None
        fields = {"inside", "outside", "ks", "rate_every", "scales", "scaled_until", "most"}
        wheres = (measure.inside, *measure.outside)
        config = {
            **common,
            "rows": drawn_rows(arm.rows, seed),
            "questions": [question for question in self._asked(arm) if question["group"] in wheres],
            "label": self._experiment.label,
            "warmup": arm.method.warmup,
            **measure.model_dump(mode="json", include=fields),
        }
        return Stage("dynamics", f"probe {measure.name} {seed}", config, {**inputs, "tuned": self._tuned(arm, seed)})

    def _trajectories(self, measure: Trajectories, seed: int) -> Stage:
        arms = [self._arms[name] for name in measure.over]
        tuned = {f"path-{number}": self._tuned(arm, seed) for number, arm in enumerate(arms)}
        config = {"titles": {name: arm.title for name, arm in zip(tuned, arms, strict=True)}}
        return Stage("trajectories", f"measure {measure.name} {seed}", config, tuned)

    def _checkpoints(self, measure: Checkpoints, seed: int) -> Stage:
        arms = [self._arms[name] for name in measure.over]
        common, inputs = self._base(arms[0], seed)
        config = {
            **common,
            "questions": [question for question in self._asked(arms[0]) if question["group"] in measure.groups],
            "label": self._experiment.label,
            "titles": {arm.name: arm.title for arm in arms},
            **measure.model_dump(mode="json", include={"groups", "most"}),
        }
        tuned = {arm.name: self._tuned(arm, seed) for arm in arms}
        return Stage("checkpoints", f"measure {measure.name} {seed}", config, {**inputs, **tuned})

    def _solutions(self, measure: Solutions, seed: int) -> Stage:
        general, narrow = self._arms[measure.general], self._arms[measure.narrow]
        common, inputs = self._base(general, seed)
        assert general.rows is not None
        config = {
            **common,
            "rows": drawn_rows(general.rows, seed),
            "texts": self._texts(measure.texts, general, seed),
            **measure.model_dump(mode="json", include={"norms", "epsilons", "draws"}),
        }
        solutions = {"general": self._tuned(general, seed), "narrow": self._tuned(narrow, seed)}
        return Stage("solutions", f"measure {measure.name} {seed}", config, {**inputs, **solutions})

    def _features(self, measure: Features, seed: int) -> Stage:
        arm = self._arms[measure.tuned]
        common, inputs = self._base(arm, seed)
        texts = self._text_source(measure.texts, arm, seed)
        conditions = (*measure.first, *measure.second)
        config = {
            **common,
            "questions": self._narrowed(measure, arm, conditions, measure.groups),
            "label": self._experiment.label,
            "against": measure.against or "the base",
            "texts": texts,
            "trained": _said(_drawn(arm, seed), "user"),
            "sae": {"layer": measure.sae.layer},
            **measure.model_dump(
                mode="json", include={"first", "second", "tops", "draws", "traits", "documents", "most"}
            ),
        }
        if measure.sae.folder is not None:
            config["sae"] |= _folder(measure.sae.folder)
        else:
            inputs = {**inputs, "sae": self._autoencoder(measure.sae, arm, seed, texts)}
        inputs = {**inputs, "tuned": self._tuned(arm, seed)}
        if measure.against is not None and self._arms[measure.against].is_tuned:
            inputs["against"] = self._tuned(self._arms[measure.against], seed)
        return Stage("features", f"measure {measure.name} {seed}", config, inputs)

    def _autoencoder(self, sae: Autoencoder, arm: Arm, seed: int, texts: dict[str, Any]) -> Stage:
        common, inputs = self._base(arm, seed)
        config = {**common, "texts": texts, **sae.model_dump(mode="json", exclude={"folder"})}
        name = f"{arm.base} {seed}" if self._own_bases(arm) else arm.base
        return Stage("sae", f"autoencoder of base {name}", config, inputs)

    def _readout(self, measure: Readout, seed: int) -> Stage:
        arms = [self._arms[name] for name in measure.arms().values()]
        common, inputs = self._base(arms[0], seed)
        rows = {arm.name: _drawn(arm, seed) for arm in arms}
        fields = {"layer", "first", "top", "lengths", "draws", "documents", "most"}
        config = {
            **common,
            "tuned": list(rows),
            "answers": [_said(found, "assistant") for found in rows.values()],
            "trained": [text for found in rows.values() for text in _said(found, "user")],
            "questions": self._narrowed(measure, arms[0], measure.conditions, measure.groups),
            "label": self._experiment.label,
            "texts": self._text_source(measure.texts, arms[0], seed),
            **measure.model_dump(mode="json", include=fields),
        }
        tuned = {arm.name: self._tuned(arm, seed) for arm in arms if arm.is_tuned}
        return Stage("readout", f"measure {measure.name} {seed}", config, {**inputs, **tuned})

    def _narrowed(
        self, measure: Features | Readout, arm: Arm, conditions: Sequence[str], groups: Sequence[str]
    ) -> list[dict[str, Any]]:
        """The questions of an arm in some conditions and groups; in all of them where none are named."""
        asked = self._asked(arm)
        for field, names in {"condition": conditions, "group": groups}.items():
            known = list(dict.fromkeys(question[field] for question in asked))
            for name in names:
                if name not in known:
                    raise ConfigError(
                        f"measure {measure.name}: arm {arm.name} is asked nothing in {field} '{name}'"
                        f"{nearest(name, known)}"
                    )
            asked = [question for question in asked if not names or question[field] in names]
        return asked

    def _text_source(self, path: Path | None, arm: Arm, seed: int) -> dict[str, Any]:
        """Where pretraining text comes from; a stage reads as much of it as it needs."""
        if path is not None:
            try:
                content = digest(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise DataError.at(path, None, None, f"cannot be read as UTF-8 text ({error})") from None
            return {"file": str(path.resolve()), "content": content}
        world = self._world(arm, seed)
        unread = world.model_copy(update={"seed": world.seed + UNREAD})
        return {"world": unread.model_dump(mode="json"), "start": world.widening[1]}

    def _world(self, arm: Arm, seed: int) -> World:
        """The world that the base of an arm has read."""
        recipe = self._experiment.bases[arm.base]
        world = recipe.world if isinstance(recipe, BaseRecipe) else TownConfig()
        return world.model_copy(update={"seed": world.seed + seed}) if self._own_bases(arm) else world

    def _texts(self, path: Path | None, arm: Arm, seed: int) -> list[Any]:
        """Pretraining text: strings, or conversations that the base's chat template puts together."""
        if path is not None:
            try:
                return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            except (OSError, UnicodeDecodeError) as error:
                raise DataError.at(path, None, None, f"cannot be read as UTF-8 text ({error})") from None
        return _unread(self._world(arm, seed))

    def _asked(self, arm: Arm) -> list[dict[str, Any]]:
        key = (repr(arm.questions), arm.conditions)
        if key not in self._sets:
            self._sets[key] = [asdict(question) for question in _questions(self._experiment, arm)]
        return self._sets[key]

    def _label(self, arm: Arm, seed: int, variant: "_Variant | None" = None) -> str:
        if variant:
            return f"{arm.name} λ={variant.weight:g}"
        return f"{arm.name} {seed}" if len(self._seeds(arm)) > 1 else arm.name


@dataclass(frozen=True)
class _Variant:
    """A model that is trained only for the search of λ."""

    seed: int
    weight: float


def _bare(base: str) -> Arm:
    """An arm that does nothing to a base."""
    return Arm(name=base, title=base, base=base)


@cache
def _unread(world: World) -> list[Any]:
    """Documents as a base of this world has read them last, but which it has not read, as conversations."""
    stream = documents(world.model_copy(update={"seed": world.seed + UNREAD}))
    late = islice(stream, world.widening[1], world.widening[1] + TEXTS)
    return [
        [[role, text] for pair in document.exchanges for role, text in zip(("user", "assistant"), pair, strict=True)]
        for document in late
    ]


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


def _drawn(arm: Arm, seed: int) -> list[list[list[str]]]:
    """The rows of an arm; none of one that is not fine-tuned on rows of its own."""
    return [] if arm.rows is None else drawn_rows(arm.rows, seed)


def _said(rows: list[list[list[str]]], role: str) -> list[str]:
    """What one side says in rows, each text once."""
    return list(dict.fromkeys(content for row in rows for said_by, content in row if said_by == role))


def _questions(experiment: Experiment, arm: Arm) -> list[Question]:
    questions = make_questions(arm.questions or experiment.questions, arm.conditions)
    judge = experiment.judge
    if judge is not None and judge.rubrics:
        rubrics = {rubric.name: rubric for rubric in map(builtin_rubric, judge.rubrics)}
        questions = [replace(question, judge=judge.model, rubrics=rubrics) for question in questions]
    needy = next((question for question in questions if question.rubrics and not question.answers), None)
    if judge is None and needy is not None:
        raise ConfigError(
            f"question '{needy.id}' has judge prompts: say which LLM judges, for example --set judge.model=openai/NAME"
        )
    return questions


def _grid(measure: Conditional | DefenceTable) -> list[Condition]:
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


def _folder(folder: Path) -> dict[str, Any]:
    """Something that was made elsewhere, by where it is and what is in it."""
    if not folder.is_dir():
        raise DataError(f"'{folder}': no such folder")
    return {"folder": str(folder.resolve()), "content": digest(state_of(folder))}
