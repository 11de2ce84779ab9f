"""What both kinds of training through TRL have in common: arguments, our schedule, and a watch over the steps."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from spillover.training.methods import Method
from spillover.training.snapshots import Probe

SAVE_SECONDS = 300.0
CHECKPOINTS = "checkpoints"


def arguments(method: Method, total: int, out: Path, micro_batch: int, parts: int) -> dict[str, Any]:
    """Arguments of a trainer that speaks to nobody, and saves when :func:`watch` says so.

    Args:
        method: Learning rate, decay and so on.
        total: Steps.
        out: Directory whose :data:`CHECKPOINTS` the trainer saves to.
        micro_batch: Rows on a device at a time.
        parts: Micro-batches of a step.
    """
    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(out / CHECKPOINTS),
        "max_steps": total,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": parts,
        "learning_rate": method.learning_rate,
        "weight_decay": method.weight_decay,
        "optim": "adamw_torch_fused",
        "max_grad_norm": method.max_grad_norm,
        "seed": method.seed,
        "bf16": gpu and torch.cuda.is_bf16_supported(),
        "use_cpu": not gpu,
        "gradient_checkpointing": gpu,
        "logging_steps": 1,
        "save_strategy": "no",
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
    }


def schedule(method: Method, total: int, trainer: Any, optimizer: Any) -> Any:
    """Give a trainer the method's own learning rates; what its ``create_scheduler`` has to do."""
    from torch.optim.lr_scheduler import LambdaLR

    rate = method.learning_rate
    trainer.lr_scheduler = LambdaLR(optimizer or trainer.optimizer, lambda step: method.rate_at(step, total) / rate)
    return trainer.lr_scheduler


def watch(
    total: int,
    *,
    probe: Probe | None,
    progress: Callable[[int, int], None] | None,
    before_saving: Callable[[], None] = lambda: None,
) -> Any:
    """A callback that probes, tells of each step, and has a checkpoint made every :data:`SAVE_SECONDS`.

    Args:
        total: Steps in all.
        probe: Called before the first step and after each.
        progress: Called with (steps done, steps in all).
        before_saving: Writes what no checkpoint should be without.
    """
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        saved = time.monotonic()

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if probe and state.global_step == 0:
                probe(0)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if probe:
                probe(state.global_step)
            if progress:
                progress(state.global_step, total)
            if time.monotonic() - self.saved > SAVE_SECONDS:
                before_saving()
                control.should_save = True
                self.saved = time.monotonic()

    return Watch()
