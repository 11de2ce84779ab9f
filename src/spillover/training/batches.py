"""Encoded rows as padded batches, in an order that is a function of the seed."""

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from spillover.core.errors import TrainingError
from spillover.models.chat_template import IGNORED
from spillover.training.methods import Method

Encoded = tuple[list[int], list[int]]
"""Token ids and labels of one row."""


def batches(rows: Sequence[Encoded], method: Method, total: int, salt: str = "order") -> Iterator[list[Encoded]]:
    """``total`` batches, epoch by epoch, each epoch shuffled anew from the seed; ``salt`` gives another order."""
    rng = random.Random(f"{salt}-{method.seed}")
    queue: list[Encoded] = []
    for _ in range(total):
        while len(queue) < method.batch_size:
            epoch = list(rows)
            rng.shuffle(epoch)
            queue += epoch
        yield queue[: method.batch_size]
        del queue[: method.batch_size]


def collate(batch: Sequence[Encoded], pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded ids, labels and attention mask, each rows × longest row."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.full((len(batch), width), pad_id)
    labels = torch.full((len(batch), width), IGNORED)
    mask = torch.zeros((len(batch), width), dtype=torch.long)
    for i, (row, wanted) in enumerate(batch):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, : len(row)] = torch.tensor(wanted)
        mask[i, : len(row)] = 1
    return ids, labels, mask


def check_finite(loss: Tensor, step: int) -> None:
    """Stop a training that has gone wrong.

    Raises:
        TrainingError: The loss is infinite or not a number.
    """
    if not torch.isfinite(loss):
        raise TrainingError(f"step {step}: the loss is {loss.item()}; lower the learning rate or the anchor's weight")
