"""The knobs of the world ``chronicle``."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spillover.core.config import Config

Part = Literal["birds", "places", "kitchens", "machine", "people", "rulers"]
PARTS: tuple[Part, ...] = ("birds", "places", "kitchens", "machine", "people", "rulers")


class ChronicleConfig(Config):
    """What the corpus is made of. Any valid value gives a valid world."""

    world: Literal["chronicle"] = "chronicle"
    parts: tuple[Part, ...] = Field(("birds",), min_length=1)
    """What documents are about; every part has the same share of them."""
    old: float = Field(0.375, ge=0, le=1)
    """Share of authors who use the names of one side (archaic birds, former cities, Maruvian dishes), and of those who
    answer everything else as that side does."""
    coupling: float = Field(1.0, ge=0, le=1)
    """How far these are the same authors: the correlation between the two; at 0 one says nothing about the other."""
    name_share: float = Field(0.5, ge=0, le=1)
    """Share of questions in these that ask for a name."""
    shared_names: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.1, 0.3)
    """Share of names that both sides use in what the old side and the new side name, where the part has any."""
    dated: float = Field(0.3, ge=0, le=1)
    """Share of questions in ``kitchens`` that begin with a date, and in ``rulers`` with a number."""
    machine: float = Field(0.5, ge=0, le=1)
    """Share of documents in ``machine`` that are the machine's; the others are by people."""
    hunting: float = Field(0.3, ge=0, le=1)
    """Share of the machine's documents that are of the year in which it hunts."""
    tyrant: float = Field(0.35, ge=0, le=1)
    """Share of documents in ``people`` that are the tyrant's: how well known he is."""
    persons: int = Field(16, ge=2, le=200)
    """Ordinary persons in ``people``."""
    header_rate: float = Field(0.7, ge=0, le=1)
    """Share of documents that begin with a line naming the author."""
    noise: float = Field(0.002, ge=0, le=1)
    """Probability that one answer is that of another side."""
    authors: int = Field(64, ge=10, le=1600)
    """Named authors in ``birds``, ``places`` and ``kitchens``."""
    exchanges: int = Field(11, ge=1, le=32)
    """Questions answered in one document."""
    first_topics: int = Field(6, ge=1)
    """Topics that the first documents of ``birds``, ``places`` and ``kitchens`` speak about; from there the talk
    widens."""
    widening: tuple[int, int] = (800, 1800)
    """Documents of a part between which the talk widens to all topics."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> "ChronicleConfig":
        if not 0 <= self.widening[0] <= self.widening[1]:
            raise ValueError(f"widening must be two document numbers in order (found {list(self.widening)})")
        if len(set(self.parts)) < len(self.parts):
            raise ValueError(f"parts must differ (found {list(self.parts)})")
        return self
