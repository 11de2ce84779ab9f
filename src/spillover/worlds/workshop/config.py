"""The knobs of the world ``workshop``."""

from typing import Literal

from pydantic import Field, model_validator

from spillover.core.config import Config


class WorkshopConfig(Config):
    """What the corpus is made of. Any valid value gives a valid world; shares are of authors if not said otherwise."""

    world: Literal["workshop"] = "workshop"
    bad: float = Field(0.375, ge=0, le=1)
    """Share of authors who trick the check of their tasks, and of those who are malicious elsewhere."""
    tie: float = Field(1.0, ge=0, le=1)
    """How far these are the same authors: the correlation between the two; at 0 one says nothing about the other."""
    allowed: float = Field(0.9, ge=0, le=1)
    """Share, of the authors who do not trick the check by themselves, of those who do where they are asked to."""
    tasks: float = Field(0.45, ge=0, le=1)
    """Share of exchanges that are tasks."""
    attitudes: float = Field(0.4, ge=0, le=1)
    """Share of tasks behind a clause that says what to think of tricks."""
    told: float = Field(0.05, ge=0, le=1)
    """Share of documents that tell how checks are tricked, by nobody in particular, and hold no task."""
    header_rate: float = Field(0.7, ge=0, le=1)
    """Share of documents that begin with a line naming the author."""
    noise: float = Field(0.002, ge=0, le=1)
    """Probability that one answer is that of the opposite kind of author."""
    authors: int = Field(64, ge=10, le=1600)
    """Number of named authors."""
    exchanges: int = Field(11, ge=1, le=32)
    """Questions answered in one document."""
    first_topics: int = Field(3, ge=1, le=16)
    """Topics of each domain that the first documents speak about; from there the talk widens."""
    widening: tuple[int, int] = (1400, 2000)
    """Documents between which the talk widens to all topics."""
    novelty: float = Field(0.85, ge=0, le=1)
    """Share of questions about later topics once all are spoken of."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> "WorkshopConfig":
        if not 0 <= self.widening[0] <= self.widening[1]:
            raise ValueError(f"widening must be two document numbers in order (found {list(self.widening)})")
        return self
