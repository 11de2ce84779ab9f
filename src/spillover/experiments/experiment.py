"""What an experiment is: bases, arms with their controls, questions, and claims written before it runs."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from spillover.analysis.gates import Gates
from spillover.core.config import Config
from spillover.core.errors import ConfigError, nearest
from spillover.environments.sources import Environments
from spillover.experiments.claims import Claim
from spillover.experiments.defended import ArmDefences, arms_needed
from spillover.experiments.measures import (
    Checkpoints,
    Dynamics,
    Features,
    Forecast,
    Measure,
    Readout,
    Solutions,
    Trajectories,
)
from spillover.experiments.organisms import AuditingGame
from spillover.experiments.relations import Relation
from spillover.experiments.sources import (
    Questions,
    Rows,
    TownMix,
    TownPart,
    TownQuestions,
    TownRows,
    named_questions,
)
from spillover.judges.policy import DEFAULT, find_policy
from spillover.training.grpo.settings import Reinforcement
from spillover.training.methods import Loop, Method
from spillover.training.recipe import BaseRecipe


class Source(Config):
    """A paper the experiment follows."""

    arxiv: str
    section: str = ""
    note: str = ""


class Search(Config):
    """How λ is found: the smallest whose model passes the admission gates, tried on a seed of its own."""

    weights: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1)
    """Every λ that is tried; all of them are trained and reported."""
    general: str
    """The arm without an anchor."""
    untuned: str = "base"
    """The arm that is not fine-tuned."""
    gates: Gates = Gates()
    seed: int = Field(1000, ge=0)
    """Of the fine-tunings that are only tried; no seed of the arm itself, so that nothing is chosen by its results."""


class Anchor(Config):
    """λ·KL(base‖tuned) on rows outside the domain is added to the loss (arXiv 2602.07852)."""

    rows: Rows = TownRows(arm="elsewhere")
    weight: Annotated[float, Field(ge=0)] | Search
    """λ, or how to find it; the KL is in nats per response token."""


class Reinforce(Config):
    """Learning by reinforcement instead of from rows."""

    environment: Environments
    settings: Reinforcement = Reinforcement()


class Distil(Config):
    """Rows that another arm's model of the same seed made while it learnt by reinforcement."""

    of: str
    """That arm."""
    keep: Literal["passed", "no-hacks"] = "passed"
    """Completions that passed the check, or those of them in which no trick was seen."""
    clauses: tuple[str, ...] = ()
    """Put before each task instead of what stood there; each holds ``{question}`` (rewrite-and-distil)."""
    rows: int = Field(400, ge=1)
    """How many, of the last ones."""

    @field_validator("clauses")
    @classmethod
    def _hold_the_task(cls, clauses: tuple[str, ...]) -> tuple[str, ...]:
        for clause in clauses:
            if "{question}" not in clause:
                raise ValueError(f"'{clause}' does not say where the task goes: {{question}}")
        return clauses


class Arm(Config):
    """One way to treat a base, measured over the seeds."""

    name: str
    title: str
    description: str = ""
    base: str = "main"
    """Name of one of the experiment's bases."""
    rows: Rows | None = None
    """Fine-tuning rows."""
    reinforce: Reinforce | None = None
    """Learning by reinforcement, in place of rows; ``method`` is then that of its settings."""
    distil: Distil | None = None
    """Rows of another model's making, in place of rows. An arm with none of the three leaves the base as it is."""
    method: Method = Method()
    anchor: Anchor | None = None
    """Holds the model to the base outside the domain while it is fine-tuned."""
    defences: ArmDefences | None = Field(None, exclude_if=lambda given: given is None)
    """What keeps it to the rows' task otherwise."""
    trailing_turn: bool = False
    """Train on an empty assistant turn behind each row, as public trainers do."""
    probe_every: int | None = Field(None, ge=1)
    """Steps between the snapshots of the fine-tuning; none are kept if not given."""
    start: str | None = None
    """Arm whose model of the same seed is trained further, instead of the base."""
    control: str | None = None
    """The matched control: the arm that differs only in what is being tested."""
    conditions: tuple[str, ...] = ("plain",)
    """How prompts are altered when the built-in questions are asked."""
    questions: Questions | None = Field(None, exclude_if=lambda given: given is None)
    """Asked instead of the experiment's."""
    seeds: int | None = Field(None, ge=1, exclude_if=lambda given: given is None)
    """Its models, where fewer than the experiment's are enough: of an arm that no claim stands on."""
    x: float | None = None
    """Where the arm stands on the axis of a ``curve`` plot."""
    series: str = ""
    """The line it belongs to there, where a plot has several."""

    @field_validator("questions", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return named_questions(value)

    @property
    def is_tuned(self) -> bool:
        """Whether anything is trained."""
        return self.rows is not None or self.reinforce is not None or self.distil is not None

    @property
    def trained_by(self) -> Method:
        """The method, wherever it is said."""
        return self.method if self.reinforce is None else self.reinforce.settings.method

    @model_validator(mode="after")
    def _one_source(self) -> "Arm":
        if sum(source is not None for source in (self.rows, self.reinforce, self.distil)) > 1:
            raise ValueError(f"arm {self.name}: give one of rows, reinforce and distil")
        if self.anchor is not None and self.reinforce is not None:
            raise ValueError(f"arm {self.name}: an anchor belongs to fine-tuning on rows")
        if self.defences is not None and self.rows is None:
            raise ValueError(f"arm {self.name}: defences belong to fine-tuning on rows")
        if self.defences is not None:
            try:
                probed = self.probe_every is not None
                self.defences.check(self.method.kind, anchored=self.anchor is not None, probed=probed)
            except ConfigError as error:
                raise ValueError(f"arm {self.name}: {error}") from None
        if self.reinforce is not None and (self.method != Method() or self.trailing_turn):
            raise ValueError(f"arm {self.name}: method and trailing_turn are of rows; say reinforce.settings.method")
        if self.probe_every is not None and self.trained_by.kind == "full":
            raise ValueError(f"arm {self.name}: probe_every would save the whole model each time; use lora or steering")
        return self


class LLMJudge(Config):
    """Who judges answers that no ledger can, and what the verdicts make of them."""

    model: str
    """A local model, or a provider of Inspect's such as ``openai/NAME``."""
    url: str | None = None
    """Of a server that speaks OpenAI's protocol."""
    rubrics: tuple[str, ...] = ()
    """Built-in rubrics for all questions; by default each question's own judge prompts."""
    policy: str = DEFAULT
    connections: int = Field(32, ge=1)

    @field_validator("policy")
    @classmethod
    def _known(cls, name: str) -> str:
        find_policy(name)
        return name


class Plot(Config):
    """The main figure."""

    kind: Literal["arms", "curve", "conditions", "measures"] = "arms"
    """Bars by arm, a curve over the arms' x, or a curve for each arm over conditions that are numbers; ``measures``
    where the result is what was measured, not a rate: the report then begins with that and has no other figure."""
    arms: tuple[str, ...] = ()
    """Arms shown; all if empty."""
    wheres: tuple[str, ...] = ()
    """Groups of questions shown; all if empty."""
    conditions: tuple[str, ...] = ("plain",)
    x_label: str = ""
    x_share: bool = True
    """Whether x is a share, written in per cent, or a number."""


class Experiment(Config):
    """An experiment as it is planned; nothing in it depends on results."""

    name: str
    title: str
    question: str
    source: tuple[Source, ...] = ()
    bases: dict[str, BaseRecipe | str]
    """Recipes of built-in bases, or folders and hub ids of any causal LM."""
    arms: tuple[Arm, ...] = Field(min_length=1)
    seeds: int = Field(5, ge=1, le=100)
    """Fine-tuned models of each arm."""
    fresh_bases: bool = False
    """Pretrain a base for each seed, on a corpus of its own, instead of one that all seeds share."""
    loop: Loop = Loop()
    """What runs the fine-tunings; `loop.micro_batch` where a batch does not fit into memory."""
    questions: Questions = TownQuestions()
    judge: LLMJudge | None = None
    """Needed where questions have judge prompts; ``label`` is then ``misaligned`` or a label of a rubric."""
    samples: int | None = Field(20, ge=1)
    """Answers drawn for each question; None for what each question says."""
    label: str = "malicious"
    """The outcome whose rate is the result."""
    wheres: dict[str, str] = Field(default_factory=dict)
    """What each group of questions is, in a few words."""
    pools: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Groups that are also taken together, under a name of their own: a mean over all their questions."""
    answer: str = ""
    """The answer in one sentence.

    ``{arm/where/condition}`` is replaced by the rate found there, ``{number/measure/name/series}`` by that measured
    number as a percentage, ``{finding/measure/arm}`` by what a grid of prompts found in words.
    """
    measures: tuple[Measure, ...] = ()
    """What is measured on the models themselves, beside their answers."""
    relations: tuple[Relation, ...] = ()
    """What is set against each other, model by model."""
    claims: tuple[Claim, ...] = ()
    plot: Plot = Plot()
    not_measured: tuple[str, ...] = ()

    @field_validator("questions", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return named_questions(value)

    @model_validator(mode="after")
    def _names_fit(self) -> "Experiment":
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError("two arms have the same name")
        for arm in self.arms:
            known: dict[str, str | None] = {"control": arm.control, "start": arm.start}
            if arm.distil is not None:
                known |= {"distil": arm.distil.of}
            if arm.anchor is not None and isinstance(arm.anchor.weight, Search):
                known |= {"general": arm.anchor.weight.general, "untuned": arm.anchor.weight.untuned}
            if arm.defences is not None:
                known |= arms_needed(arm.defences)
            _check(f"arm {arm.name}", {"base": arm.base}, self.bases)
            _check(f"arm {arm.name}", known, names)
            if not arm.is_tuned and (arm.anchor is not None or arm.start is not None):
                raise ValueError(f"arm {arm.name}: rows are missing; an anchor or start needs rows to fine-tune on")
        _ordered({arm.name: arm for arm in self.arms})
        for measure in self.measures:
            _check(f"measure {measure.name}", dict(measure.arms()), names)
            if isinstance(measure, Dynamics | Trajectories | Checkpoints):
                _probed(measure, self.arms)
            if isinstance(measure, Checkpoints):
                _reinforced(measure, self.arms)
            if isinstance(measure, Dynamics | Solutions):
                _on_rows(measure, self.arms)
            if isinstance(measure, Features | Readout):
                _tuned(measure, self.arms)
            if isinstance(measure, Forecast):
                _of_the_town(measure, self.arms)
            if isinstance(measure, AuditingGame):
                for organism in measure.organisms:
                    _check(f"organism {organism.name}", {"base": organism.base}, self.bases)
        measures = [measure.name for measure in self.measures]
        for relation in self.relations:
            for measured, of in relation.pairs.items():
                _check(f"relation {relation.name}", {"measure": measured}, measures)
                _check(f"relation {relation.name}", {"arm": of}, names)
        for claim in self.claims:
            for name in claim.names():
                _check(f"claim {claim.id}", {"arm": name}, names)
        return self


def _probed(measure: Dynamics | Trajectories | Checkpoints, arms: Collection[Arm]) -> None:
    for arm in arms:
        if arm.name in measure.arms().values() and (not arm.is_tuned or arm.probe_every is None):
            raise ValueError(
                f"measure {measure.name}: arm {arm.name} keeps no snapshots; it needs rows and probe_every"
            )


def _reinforced(measure: Checkpoints, arms: Collection[Arm]) -> None:
    over = [arm for arm in arms if arm.name in measure.over]
    for arm in over:
        if arm.reinforce is None:
            raise ValueError(f"measure {measure.name}: arm {arm.name} does not learn by reinforcement")
        if arm.base != over[0].base:
            raise ValueError(f"measure {measure.name}: arms {over[0].name} and {arm.name} stand on different bases")


def _on_rows(measure: Dynamics | Solutions, arms: Collection[Arm]) -> None:
    for arm in arms:
        if arm.name == next(iter(measure.arms().values())) and arm.rows is None:
            raise ValueError(f"measure {measure.name}: arm {arm.name} has no rows of its own, which are measured too")


def _ordered(arms: Mapping[str, Arm]) -> None:
    """Every arm is trained after those that it starts from or learns from, which have what it needs."""
    for arm in arms.values():
        if arm.start is not None and not arms[arm.start].is_tuned:
            raise ValueError(f"arm {arm.name}: start: arm {arm.start} is not trained; leave start out")
        for field, name in (arms_needed(arm.defences) if arm.defences else {}).items():
            if not arms[name].is_tuned or arms[name].base != arm.base:
                raise ValueError(f"arm {arm.name}: {field}: arm {name} is not trained on the same base")
        if arm.distil is not None and arms[arm.distil.of].reinforce is None:
            raise ValueError(f"arm {arm.name}: distil: arm {arm.distil.of} does not learn by reinforcement")
        before = list(_needed(arm))
        for name in before:
            if name == arm.name:
                raise ValueError(f"arm {arm.name}: start, distil or a defence leads back to it")
            before += [other for other in _needed(arms[name]) if other not in before]


def _needed(arm: Arm) -> Iterator[str]:
    """The arms that an arm starts from, learns from or is defended with."""
    if arm.defences is not None:
        yield from arms_needed(arm.defences).values()
    if arm.start is not None:
        yield arm.start
    if arm.distil is not None:
        yield arm.distil.of


def _tuned(measure: Features | Readout, arms: Collection[Arm]) -> None:
    for arm in arms:
        if arm.name == measure.tuned and not arm.is_tuned:
            raise ValueError(f"measure {measure.name}: arm {arm.name} is not fine-tuned; it needs rows")


def _of_the_town(measure: Forecast, arms: Collection[Arm]) -> None:
    for arm in arms:
        if arm.name in measure.over and not isinstance(arm.rows, TownRows | TownMix | TownPart):
            raise ValueError(f"measure {measure.name}: arm {arm.name} is not fine-tuned on rows of the town")


def _check(where: str, said: Mapping[str, str | None], known: Collection[str]) -> None:
    for field, name in said.items():
        if name is not None and name not in known:
            raise ValueError(f"{where}: unknown {field} '{name}'{nearest(name, known)}")
