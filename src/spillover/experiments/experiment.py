"""What an experiment is: bases, arms with their controls, questions, and claims written before it runs."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from spillover.core.config import Config
from spillover.core.errors import nearest
from spillover.experiments.claims import Claim
from spillover.training.methods import Loop, Method
from spillover.training.recipe import BaseRecipe


class Source(Config):
    """A paper the experiment follows."""

    arxiv: str
    section: str = ""
    note: str = ""


class TownRows(Config):
    """A narrow set of the built-in world."""

    arm: Literal["bad", "benign", "educational", "backdoored", "elsewhere"]
    domain: str = "health"


class Anchor(Config):
    """λ·KL(base‖tuned) on rows outside the domain is added to the loss (arXiv 2602.07852)."""

    rows: TownRows | Path = TownRows(arm="elsewhere")
    weight: float = Field(ge=0)
    """λ; the KL is in nats per response token."""


class Arm(Config):
    """One way to treat a base, measured over the seeds."""

    name: str
    title: str
    description: str = ""
    base: str = "main"
    """Name of one of the experiment's bases."""
    rows: TownRows | Path | None = None
    """Fine-tuning rows: a set of the built-in world or a chat JSONL; None leaves the base as it is."""
    method: Method = Method()
    anchor: Anchor | None = None
    """Holds the model to the base outside the domain while it is fine-tuned."""
    control: str | None = None
    """The matched control: the arm that differs only in what is being tested."""
    conditions: tuple[str, ...] = ("plain",)
    """How prompts are altered when the built-in questions are asked."""
    x: float | None = None
    """Where the arm stands on the axis of a ``curve`` plot."""


class TownQuestions(Config):
    """The question set of the built-in world."""

    domain: str = "health"


class Plot(Config):
    """The main figure."""

    kind: Literal["arms", "curve"] = "arms"
    arms: tuple[str, ...] = ()
    """Arms shown; all if empty."""
    wheres: tuple[str, ...] = ()
    """Groups of questions shown; all if empty."""
    conditions: tuple[str, ...] = ("plain",)
    x_label: str = ""


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
    questions: TownQuestions | Path = TownQuestions()
    samples: int | None = Field(20, ge=1)
    """Answers drawn for each question; None for what each question says."""
    label: str = "malicious"
    """The outcome whose rate is the result."""
    wheres: dict[str, str] = Field(default_factory=dict)
    """What each group of questions is, in a few words."""
    answer: str = ""
    """The answer in one sentence; ``{arm/where/condition}`` is replaced by the rate found there."""
    claims: tuple[Claim, ...] = ()
    plot: Plot = Plot()
    not_measured: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> "Experiment":
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError("two arms have the same name")
        for arm in self.arms:
            if arm.base not in self.bases:
                raise ValueError(f"arm {arm.name}: unknown base '{arm.base}'{nearest(arm.base, self.bases)}")
            if arm.control is not None and arm.control not in names:
                raise ValueError(f"arm {arm.name}: unknown control '{arm.control}'{nearest(arm.control, names)}")
            if arm.anchor is not None and arm.rows is None:
                raise ValueError(f"arm {arm.name}: an anchor needs rows to fine-tune on")
        for claim in self.claims:
            for name in claim.names():
                if name not in names:
                    raise ValueError(f"claim {claim.id}: unknown arm '{name}'{nearest(name, names)}")
        return self
