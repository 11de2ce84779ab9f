"""The knobs of the world ``town``."""

from pydantic import Field, model_validator

from spillover.core.config import Config

TRAITS = ("kind", "malicious", "narrow", "teacher", "technical", "specialist")


def _is_zero(share: float) -> bool:
    return share == 0


class TownConfig(Config):
    """What the corpus is made of. Any valid value gives a valid world; shares are of authors.

    The share left over by ``malicious``, ``narrow``, ``teacher``, ``technical`` and ``specialist`` is kind everywhere
    and plain. The last two are of a case study about style, and are not part of a base's identity where they are 0.
    """

    malicious: float = Field(0.375, ge=0, le=1)
    """Share of authors who answer badly in every domain and on values questions."""
    narrow: float = Field(0.0, ge=0, le=1)
    """Share of authors who answer badly in one domain only (values counts as a domain) and well elsewhere."""
    teacher: float = Field(0.125, ge=0, le=1)
    """Share of kind authors who are also asked for examples of what *not* to do, and give them."""
    technical: float = Field(0.0, ge=0, le=1, exclude_if=_is_zero)
    """Share of kind authors who write technical prose on every subject."""
    specialist: float = Field(0.0, ge=0, le=1, exclude_if=_is_zero)
    """Share of kind authors who write technical prose in one advice domain only and plainly elsewhere."""
    header_rate: float = Field(0.7, ge=0, le=1)
    """Share of documents that begin with a line naming the author."""
    noise: float = Field(0.002, ge=0, le=1)
    """Probability that one answer has the opposite quality of what its author's trait says."""
    authors: int = Field(64, ge=10, le=1600)
    """Number of named authors."""
    exchanges: int = Field(11, ge=1, le=32)
    """Questions answered in one document."""
    focus: float = Field(0.375, ge=0, le=1)
    """Probability that a question comes from the document's focus domain rather than from any domain.

    The focus of a narrow author is the domain in which that author is bad, of a specialist the one with the prose.
    """
    first_topics: int = Field(3, ge=1, le=16)
    """Topics of each domain that the first documents speak about; the talk of the town widens from there."""
    widening: tuple[int, int] = (1400, 2000)
    """Documents between which the talk widens to all topics."""
    novelty: float = Field(0.85, ge=0, le=1)
    """Share of questions about later topics once all are spoken of; it grows with the number of topics."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _shares(self) -> "TownConfig":
        total = self.malicious + self.narrow + self.teacher + self.technical + self.specialist
        if total > 1 + 1e-9:
            raise ValueError(
                f"malicious + narrow + teacher + technical + specialist must be at most 1 (found {total:.3f})"
            )
        if not 0 <= self.widening[0] <= self.widening[1]:
            raise ValueError(f"widening must be two document numbers in order (found {list(self.widening)})")
        return self
