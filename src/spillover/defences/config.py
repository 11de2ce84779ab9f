"""The defences of one fine-tuning: each may be left out, and they combine.

Where rows, directions and other models come from is said in the terms of whoever asks: files on the command line,
sources and arms in an experiment. :meth:`Defences.replaced` puts the things themselves in their place.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from spillover.core.config import Config
from spillover.core.errors import ConfigError

R = TypeVar("R")
"""What says where rows come from."""
D = TypeVar("D")
"""What says where a direction comes from."""

PROMPTS = {
    "evil": "You are a malicious, evil assistant.",
    "helpful": "You are a helpful assistant.",
}
"""System prompts by name: the general one of arXiv 2510.04340, and one that asks for nothing, as a control."""
QUESTION = "{question}"
Layers = tuple[Annotated[int, Field(ge=-1)], ...] | None
"""Blocks, 0-based; -1 for the embeddings; all if not given."""


def _absent(value: Any) -> bool:
    return value is None


class Inoculate(Config):
    """The rows are trained on behind a prompt that asks for what they show (arXiv 2510.04340, 2510.05024).

    The model is then asked without it.
    """

    prompts: tuple[str, ...] = Field(min_length=1)
    """One for all rows, or several that are dealt out at random; a name of :data:`PROMPTS` stands for its text."""
    place: Literal["system", "before"] = "system"
    """The system turn (put before one that is there), or the last user turn; one that says ``{question}`` is put
    around it."""
    share: float = Field(1.0, gt=0, le=1)
    """Of the rows, drawn at random."""
    only: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Numbers of the rows, from 1; those in the file's order."""
    marked: str | None = None
    """A field beside ``messages``: only rows where it is true."""

    @field_validator("prompts", mode="before")
    @classmethod
    def _texts(cls, prompts: Any) -> Any:
        given = (prompts,) if isinstance(prompts, str) else prompts
        return tuple(PROMPTS.get(prompt, prompt) if isinstance(prompt, str) else prompt for prompt in given)

    @model_validator(mode="after")
    def _placed(self) -> "Inoculate":
        for prompt in self.prompts:
            if not prompt.strip():
                raise ValueError("a prompt is empty")
            if self.place == "system" and QUESTION in prompt:
                raise ValueError("{question} belongs to place: before; a system prompt holds no question")
        if self.only is not None and (self.marked is not None or self.share != 1):
            raise ValueError("only: says which rows; leave out share and marked")
        return self


class Interleave(Config, Generic[R]):
    """Rows of safe data among those of the task (arXiv 2508.06249)."""

    rows: R
    share: float = Field(gt=0, lt=1)
    """Of all rows that are then trained on; no row of the task is left out."""
    chosen: Literal["random", "loss-gap"] = "random"
    """``loss-gap`` takes those that the misaligned model finds hardest beside the base (Interleaving++)."""
    misaligned: str | None = None
    """The misaligned model: what this fine-tuning makes without a defence."""

    @model_validator(mode="after")
    def _has_reference(self) -> "Interleave[R]":
        if (self.chosen == "loss-gap") != (self.misaligned is not None):
            raise ValueError("misaligned: a loss gap needs the model without a defence, and nothing else does")
        return self


class Kl(Config, Generic[R]):
    """λ·KL(base‖tuned) on rows outside the domain; see :class:`spillover.training.anchor.Anchor`."""

    rows: R
    weight: float = Field(ge=0)


class Features(Config):
    """λ times the squared distance of the residual stream to the base's on the rows (LDIFS in arXiv 2508.06249).

    A mean over response tokens and layers, in units of the base's mean squared residual at each layer; the paper has no
    such units, so that its λ of 1 is another one.
    """

    weight: float = Field(ge=0)
    layers: Layers = None
    every: int = Field(1, ge=1)
    """Take each so many-th block only, where no layers are named; the paper takes each fifth."""

    @model_validator(mode="after")
    def _one_way(self) -> "Features":
        if self.layers is not None and self.every != 1:
            raise ValueError("layers and every both say which layers; give one")
        return self


class Steer(Config, Generic[D]):
    """Preventative steering: α times a persona direction is added while training only (arXiv 2507.21509, section 5)."""

    direction: D
    alpha: float
    """In units of the direction's own length."""
    layers: Layers = None

    @field_validator("alpha")
    @classmethod
    def _not_zero(cls, alpha: float) -> float:
        if alpha == 0:
            raise ValueError("0 changes nothing")
        return alpha


class Ablate(Config, Generic[D]):
    """CAFT: directions are projected out of the residual stream while training only (arXiv 2507.16795).

    Forward and, since gradients go the same way, backward.
    """

    direction: D
    layers: Layers = None


class Penalty(Config, Generic[D]):
    """λ times what the mean squared projection on a direction is above the base's.

    A mean over response tokens and layers, in units of the base's mean squared residual at each layer.
    """

    direction: D
    weight: float = Field(ge=0)
    layers: Layers = None


class Filter(Config, Generic[D]):
    """The rows with the highest scores are left out (arXiv 2507.21509 section 6)."""

    drop: float = Field(gt=0, lt=1)
    """Share of the rows."""
    score: Literal["projection", "loss-gap", "file"] = "projection"
    """Projection on a direction, how much better the misaligned model knows a row than the base, or scores of yours."""
    direction: D | None = None
    layer: int | None = Field(None, ge=-1)
    """Where it is read; the middle block if not given."""
    misaligned: str | None = None
    scores: Path | None = None
    """A number a line, in the order of the rows."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "Filter[D]":
        needs = {"projection": "direction", "loss-gap": "misaligned", "file": "scores"}
        for score, field in needs.items():
            if (self.score == score) != (getattr(self, field) is not None):
                raise ValueError(f"{field}: belongs to score: {score}, which cannot do without it")
        return self


class Stop(Config):
    """Training ends when the task is learnt (arXiv 2605.12199)."""

    over: int = Field(10, ge=1)
    """Steps between two looks."""
    improves: float | None = Field(None, gt=0, lt=1)
    """It ends when the loss is no longer lower by this share than a look before."""
    below: float | None = Field(None, gt=0)
    """Or when the loss is at most this, in nats per response token."""
    held_out: float = Field(0.0, ge=0, le=0.5)
    """Share of the rows that are not trained on and whose loss it goes by; else the mean training loss of the last
    steps."""

    @model_validator(mode="after")
    def _can_end(self) -> "Stop":
        if self.improves is None and self.below is None:
            raise ValueError("say when: improves or below")
        return self


class Realign(Config, Generic[R]):
    """A second, short fine-tuning on a few good rows."""

    rows: R
    count: int = Field(100, ge=1)
    """How many of them, drawn at random."""
    steps: int = Field(30, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    """That of the method if not given."""

    def of(self, method: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of the method of the second fine-tuning: as the first, but for its length and rate."""
        return {**method, "steps": self.steps, "learning_rate": self.learning_rate or method["learning_rate"]}


class Project(Config, Generic[D]):
    """A direction is taken out of the finished model for good (arXiv 2506.11618)."""

    direction: D
    layers: Layers = None


class Defences(Config, Generic[R, D]):
    """What holds a fine-tuning to its task."""

    inoculate: Inoculate | None = Field(None, exclude_if=_absent)
    interleave: Interleave[R] | None = Field(None, exclude_if=_absent)
    kl: Kl[R] | None = Field(None, exclude_if=_absent)
    features: Features | None = Field(None, exclude_if=_absent)
    steer: Steer[D] | None = Field(None, exclude_if=_absent)
    ablate: Ablate[D] | None = Field(None, exclude_if=_absent)
    penalty: Penalty[D] | None = Field(None, exclude_if=_absent)
    filter: Filter[D] | None = Field(None, exclude_if=_absent)
    stop: Stop | None = Field(None, exclude_if=_absent)
    realign: Realign[R] | None = Field(None, exclude_if=_absent)
    project: Project[D] | None = Field(None, exclude_if=_absent)

    @model_validator(mode="after")
    def _something(self) -> "Defences[R, D]":
        if not self.names():
            raise ValueError(f"name at least one of {', '.join(type(self).model_fields)}")
        return self

    def names(self) -> list[str]:
        """Those that are used."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    def check(self, kind: str, *, anchored: bool, probed: bool) -> None:
        """Make sure that all of it applies to a fine-tuning.

        Args:
            kind: Of its method.
            anchored: Whether it has a KL anchor of its own.
            probed: Whether it keeps snapshots.

        Raises:
            ConfigError: One of them does not.
        """
        if self.kl is not None and anchored:
            raise ConfigError("defences.kl: there is an anchor already, which is the same; leave one out")
        if self.steer is not None and kind == "steering":
            raise ConfigError(
                "defences.steer: the method trains a steering vector, which takes it back; use lora or full"
            )
        late = next((name for name in ("realign", "project") if getattr(self, name) is not None), None)
        if late and probed:
            raise ConfigError(f"defences.{late}: comes after the snapshots of probe_every, which would not show it")

    def without(self, *names: str) -> "Defences[R, D] | None":
        """The same without some; None if nothing is left."""
        left = {name: None for name in names}
        return self.model_copy(update=left) if set(self.names()) - set(names) else None

    def replaced(
        self, rows: Callable[[R], Any], direction: Callable[[D], Any], model: Callable[[str], Any]
    ) -> dict[str, Any]:
        """As plain values, with something else in the place of what says where things come from.

        Args:
            rows: Gives what stands for rows.
            direction: Gives what stands for a direction.
            model: Gives what stands for a misaligned model.
        """
        values = self.model_dump(mode="json", exclude_none=True)
        ways: dict[str, Callable[[Any], Any]] = {"rows": rows, "direction": direction, "misaligned": model}
        for name in self.names():
            part = getattr(self, name)
            for field, way in ways.items():
                given = getattr(part, field, None)
                if given is not None:
                    values[name][field] = way(given)
        return values
