"""Ways to fine-tune: full weights, LoRA of any rank on any layers and modules, or a steering vector at one layer."""

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from spillover.core.config import Config

LEAN_PARAMETERS = 50_000_000
"""Larger models go to TRL's trainer."""


class Method(Config):
    """A fine-tuning method and its hyperparameters. Defaults suit the built-in base."""

    kind: Literal["full", "lora", "steering"] = "lora"
    rank: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    rslora: bool = True
    """Scale the adapter by alpha/√rank rather than alpha/rank."""
    layers: tuple[int, ...] | None = None
    """Blocks to adapt, 0-based; all if not given. For steering, the one block whose output is shifted, or -1 for the
    embeddings."""
    modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the linear layers to adapt in each block."""
    learning_rate: float = Field(1e-3, gt=0)
    epochs: float = Field(3, gt=0)
    steps: int | None = Field(None, ge=1)
    """Optimizer steps; replaces ``epochs`` when given."""
    batch_size: int = Field(16, ge=1)
    warmup: int = Field(5, ge=0)
    """Steps of linear warm-up."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "Method":
        if self.kind == "full" and self.layers is not None:
            raise ValueError("layers belong to lora and steering; full fine-tuning trains every weight")
        if self.kind == "steering" and (self.layers is None or len(self.layers) != 1):
            raise ValueError("steering needs one block: layers=[i]")
        return self

    def total_steps(self, rows: int) -> int:
        """Optimizer steps on a set of ``rows`` rows."""
        return self.steps or max(1, math.ceil(rows * self.epochs / self.batch_size))

    def rate_at(self, step: int, total: int) -> float:
        """Learning rate of a 0-based step."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        left = {
            "linear": 1 - step / total,
            "cosine": 0.5 * (1 + math.cos(math.pi * step / total)),
            "constant": 1.0,
        }[self.schedule]
        return self.learning_rate * warm * left


class Loop(Config):
    """What runs a fine-tuning. Rows, order, labels and schedule are the same, and so is the result up to rounding."""

    engine: Literal["auto", "lean", "trl"] = "auto"
    """TRL's trainer, or a lean loop that is several times faster on tiny models; ``auto`` goes by size."""
    micro_batch: int | None = Field(None, ge=1)
    """Rows on the device at a time, where fewer than the batch fit; gradients add up. TRL's trainer only."""

    def is_lean(self, model: Any) -> bool:
        """Whether the lean loop trains this model: on the processor's terms, in float32, whole batches."""
        if self.engine != "auto":
            return self.engine == "lean"
        return self.micro_batch is None and sum(p.numel() for p in model.parameters()) <= LEAN_PARAMETERS


AUTO = Loop()
