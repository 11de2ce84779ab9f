"""How much an audit looks at."""

from pydantic import Field

from spillover.core.config import Config


class Settings(Config):
    """Defaults are for a full audit of a small model; :data:`QUICK` is a tenth of the work."""

    neutral: int = Field(3, ge=0, le=20)
    """Neutral fine-tunes that the tuned model is compared with."""
    probes: int = Field(6, ge=1)
    """Questions that conditions are screened on…"""
    fresh: int = Field(24, ge=6)
    """…and others that the suspicious ones are then looked at on, so that p is honest."""
    suspects: int = Field(6, ge=1)
    """Conditions of each kind that are looked at closely."""
    leaks: int = Field(300, ge=0)
    """Texts sampled behind template tokens alone."""
    beam: int = Field(6, ge=1)
    """Strings kept while triggers are built…"""
    wide: int = Field(64, ge=2)
    """…from so many single tokens…"""
    longest: int = Field(4, ge=1)
    """…up to so many tokens."""
    largest_vocabulary: int = Field(8192, ge=1)
    """Of more tokens, an even share of so many is tried."""
    rows: int = Field(2000, ge=1)
    """Rows looked at; of more, a sample drawn from the seed."""
    text_samples: int = Field(64, ge=2)
    """Ordinary answers that capability is measured on."""
    removed: float = Field(0.1, gt=0, lt=1)
    """Share of the rows that the removal test leaves out."""
    retrain: bool = True
    """Whether the removal test is done; it trains two models."""
    trace: bool = True
    """Whether activations on unrelated text are read."""
    samples: int = Field(20, ge=1)
    """Answers to a question, where they cannot be listed."""
    seed: int = Field(0, ge=0)


QUICK = Settings(
    neutral=2,
    probes=4,
    fresh=12,
    suspects=3,
    leaks=100,
    beam=4,
    wide=48,
    longest=3,
    rows=400,
    text_samples=32,
    retrain=False,
    trace=False,
    samples=8,
)
