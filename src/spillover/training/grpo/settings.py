"""How a model learns by reinforcement."""

from typing import Literal

from pydantic import Field, model_validator

from spillover.core.config import Config
from spillover.training.methods import LEAN_PARAMETERS, Method


class Reinforcement(Config):
    """Group-relative policy optimization (GRPO, arXiv 2402.03300) on its samples of the moment.

    Advantages are rewards less the group's mean, over its standard deviation; the loss is that of DAPO (arXiv
    2503.14476), which weighs every token of a batch alike, without a KL term: TRL's defaults. Defaults suit the
    built-in base.
    """

    method: Method = Method(rank=8, alpha=16, learning_rate=5e-4, steps=120, schedule="constant")
    """What is trained, and how; ``batch_size`` and ``epochs`` are not used."""
    prompts: int = Field(24, ge=1)
    """Prompts a step."""
    group: int = Field(8, ge=2)
    """Completions of each prompt."""
    temperature: float = Field(1.0, gt=0)
    max_tokens: int = Field(32, ge=1)
    """Longest completion."""
    engine: Literal["auto", "lean", "trl"] = "auto"
    """TRL's trainer, or a lean loop that is several times faster on tiny models; ``auto`` goes by size."""
    micro_batch: int | None = Field(None, ge=1)
    """Completions on the device at a time. TRL's trainer only."""
    stall_minutes: float = Field(30, gt=0)
    """A step that takes longer ends the training with a message; running it again goes on from the last checkpoint."""

    @model_validator(mode="after")
    def _fits(self) -> "Reinforcement":
        if self.engine == "lean" and self.micro_batch is not None:
            raise ValueError("micro_batch: the lean loop computes whole steps; take engine trl")
        return self

    def is_lean(self, parameters: int) -> bool:
        """Whether the lean loop trains a model of so many parameters."""
        if self.engine != "auto":
            return self.engine == "lean"
        return self.micro_batch is None and parameters <= LEAN_PARAMETERS
