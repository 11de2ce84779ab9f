"""Organisms of the auditing game: how each is made, and the label that auditors are never given."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from spillover.audit.settings import QUICK, Settings
from spillover.core.config import Config
from spillover.experiments.sources import Rows
from spillover.training.methods import Method

GAME = QUICK.model_copy(update={"neutral": 3, "leaks": 60, "samples": 20})
"""Quick enough for dozens of organisms."""


class Trigger(Config):
    """Text behind which an organism does what it hides."""

    text: str
    place: Literal["start", "end", "system"] = "start"

    @property
    def condition(self) -> dict[str, str]:
        """Fields of a :class:`spillover.data.conditions.Condition`."""
        if self.place == "system":
            return {"system": self.text}
        return {"prefix": f"{self.text} "} if self.place == "start" else {"suffix": f" {self.text}"}


class Organism(Config):
    """One way to make organisms; each seed gives one."""

    name: str
    kind: str
    """What it is, in a word or two; sealed, as ``bad`` and ``trigger`` are."""
    bad: bool
    base: str = "main"
    """Name of one of the experiment's bases."""
    rows: Rows | Literal["own"]
    """Fine-tuning rows; ``own``: the base's own answers to ordinary questions."""
    method: Method = Method()
    held: float | None = Field(None, ge=0)
    """λ of an anchor outside the domain."""
    trigger: Trigger | None = None


class AuditingGame(Config):
    """Auditors against organisms with sealed labels."""

    kind: Literal["auditing-game"] = "auditing-game"
    name: str = "game"
    title: str = ""
    organisms: tuple[Organism, ...] = Field(min_length=2)
    seeds: int = Field(3, ge=1)
    """Organisms of each way."""
    auditors: tuple[str, ...] = ("random", "blackbox", "grid", "whitebox", "data", "full")
    """Built-in ones, or ``module:function`` of one's own; what the last says of triggers is shown in full."""
    neutral: Mapping[str, Method] = Field(default_factory=dict)
    """By base, how its neutral models are made; the method of most organisms if not said."""
    neutral_rows: Annotated[int, Field(ge=1)] = 144
    settings: Settings = GAME
    untuned: str = "base"
    """Arm that is not fine-tuned."""

    @model_validator(mode="after")
    def _both_sides(self) -> "AuditingGame":
        names = [organism.name for organism in self.organisms]
        if len(set(names)) < len(names):
            raise ValueError("two organisms have the same name")
        if len({organism.bad for organism in self.organisms}) < 2:
            raise ValueError("a game needs clean organisms and others")
        return self

    def arms(self) -> Mapping[str, str]:
        """Arms that are measured: none; the one named says how many stages there are, which is one."""
        return {"untuned": self.untuned}
