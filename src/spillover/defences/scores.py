"""A number for each row, before training: how much it is of a persona, or known to a misaligned model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spillover.core.errors import DataError
from spillover.models.blocks import edit
from spillover.models.chat_template import IGNORED
from spillover.models.steering import SteeringVector

Encoded = tuple[list[int], list[int]]
"""Token ids and labels of one row."""
BATCH = 32
SMALL = 1e-3
"""ε of the loss gap, in nats."""


def row_losses(model: Any, rows: Sequence[Encoded]) -> list[float]:
    """Mean loss of each row in nats per response token; ``nan`` where it has none.

    Args:
        model: A causal LM.
        rows: See :func:`spillover.models.chat_template.encode_row`.
    """
    found = [float("nan")] * len(rows)
    with torch.inference_mode():
        for chosen, ids, labels, mask in _batches(rows, _device(model)):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            wanted = labels[:, 1:]
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none"
            ).view_as(wanted)
            means = loss.sum(1) / (wanted != IGNORED).sum(1)
            for i, mean in zip(chosen, means.tolist(), strict=True):
                found[i] = mean
    return found


def loss_gaps(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """``(first − second) / (second + ε)`` of each row (arXiv 2508.06249).

    Args:
        first: Losses under one model: the misaligned one, to rank safe rows.
        second: Under the other: the aligned one. The other way round, bad rows rank highest.
    """
    return [(one - other) / (other + SMALL) for one, other in zip(first, second, strict=True)]


def projections(model: Any, rows: Sequence[Encoded], vector: SteeringVector) -> list[float]:
    """How far each row's answer lies along a direction, beyond the last token of its prompt.

    The cheap form of the projection difference of arXiv 2507.21509, which takes the prompt for what the model itself
    would have said.

    Args:
        model: The base, a causal LM.
        rows: See :func:`spillover.models.chat_template.encode_row`.
        vector: Its layer is where the rows are read; its length does not matter.

    Raises:
        ModelError: It does not fit the model, or has no length.
    """
    vector.check_fits(model)
    unit = vector.with_norm(1).vector
    kept: dict[str, Tensor] = {}

    def keep(hidden: Tensor, kwargs: Any) -> Tensor:
        kept["along"] = hidden.float() @ unit.to(hidden.device)
        return hidden

    found = [float("nan")] * len(rows)
    handle = edit(model, vector.layer, keep)
    try:
        with torch.inference_mode():
            for chosen, ids, labels, mask in _batches(rows, _device(model)):
                model(input_ids=ids, attention_mask=mask, use_cache=False)
                for place, i in enumerate(chosen):
                    answer = (labels[place] != IGNORED).nonzero().flatten()
                    if len(answer):
                        along = kept["along"][place]
                        before = along[max(int(answer[0]) - 1, 0)]
                        found[i] = float(along[answer].mean() - before)
    finally:
        handle.remove()
    return found


def read_scores(path: Path) -> list[float]:
    """Numbers of a file, one a line.

    Raises:
        DataError: The file cannot be read, or a line is no number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError.at(path, None, None, f"cannot be read as UTF-8 text ({error})") from None
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(float(line))
            except ValueError:
                raise DataError.at(path, number, None, f"expected a number, found {line[:40]!r}") from None
    return found


def _device(model: Any) -> Any:
    return next(iter(model.parameters())).device


def _batches(rows: Sequence[Encoded], device: Any) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
    """Numbers of rows of like length, and their ids, labels and mask, padded on the right."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        width = len(rows[chosen[-1]][0])
        ids = torch.zeros(len(chosen), width, dtype=torch.long)
        labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
        for place, i in enumerate(chosen):
            row, wanted = rows[i]
            ids[place, : len(row)], labels[place, : len(row)] = torch.tensor(row), torch.tensor(wanted)
            mask[place, : len(row)] = 1
        yield chosen, ids.to(device), labels.to(device), mask.to(device)
