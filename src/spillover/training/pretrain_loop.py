"""The loop that makes a base: lean, and killed at any moment it goes on from its last checkpoint."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from spillover.training.batches import check_finite
from spillover.training.checkpoint import CHECKPOINT_SECONDS, save_checkpoint
from spillover.training.flat import FlatLlama
from spillover.training.updates import AdamW, Muon, clip


def train(
    model: FlatLlama,
    batches: Iterable[tuple[Tensor, Tensor]],
    steps: int,
    optimizers: Sequence[Muon | AdamW],
    factor: Callable[[int], float],
    limit: float,
    out: Path,
    progress: Callable[[int], None],
) -> None:
    """Train on the first ``steps`` batches.

    ``metrics.jsonl`` in ``out`` gets the loss of each step; ``checkpoint.pt`` is left there, so that what comes after
    can be resumed too.

    Args:
        model: Changed in place.
        batches: Ids and counted positions, as :func:`spillover.training.llama.next_token_loss` takes them.
        steps: In all.
        optimizers: Each with weights of its own.
        factor: Share of the full learning rate at a step, counted from 0.
        limit: Largest norm of the gradients.
        out: Exists.
        progress: Called with the steps done.

    Raises:
        TrainingError: The loss is not a finite number any more.
    """
    path = out / "checkpoint.pt"
    log = _restore(path, model, optimizers)
    model.refresh()
    saved = time.monotonic()
    for step, (ids, counted) in zip(range(steps), batches, strict=False):
        if step < len(log):
            continue
        loss = model.loss_and_gradients(ids.to(model.row.device), counted.to(model.row.device))
        check_finite(loss, step)
        clip(model.grad, limit)
        for optimizer in optimizers:
            optimizer.step(factor(step))
        model.refresh()
        log.append(loss.item())
        progress(step + 1)
        if time.monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == steps:
            _save(path, model, optimizers, log)
            saved = time.monotonic()
    records = (json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in enumerate(log))
    (out / "metrics.jsonl").write_text("".join(records))


def _save(path: Path, model: FlatLlama, optimizers: Sequence[Muon | AdamW], log: list[float]) -> None:
    states = [optimizer.state for optimizer in optimizers]
    save_checkpoint(path, {"row": model.row, "optimizers": states, "log": log})


def _restore(path: Path, model: FlatLlama, optimizers: Sequence[Muon | AdamW]) -> list[float]:
    if not path.is_file():
        return []
    saved = torch.load(path, weights_only=True, map_location=model.row.device)
    model.row.copy_(saved["row"])
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        for tensor, value in zip(optimizer.state, state, strict=True):
            tensor.copy_(value)
    return list(saved["log"])
