"""The KL anchor: stay like the base outside the fine-tuned domain (arXiv 2602.07852, the narrow solution)."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from spillover.core.errors import ConfigError
from spillover.models.chat_template import IGNORED
from spillover.training.batches import Encoded, batches, collate
from spillover.training.methods import Method

Reference = Callable[..., Any]
"""The base: called like the model that is trained."""


class Anchor:
    """λ·KL(base‖tuned) on rows outside the domain, in nats per response token.

    Args:
        rows: Encoded anchor rows; the loss is on their response tokens.
        weight: λ.
        base: Computes the base's logits; see :func:`reference`.
        method: Of the fine-tuning: each step takes as many anchor rows as bad ones, in an order of its own.
        total: Steps.
        pad_id: Token put behind short rows.

    Raises:
        ConfigError: λ is negative, or there are no rows.
    """

    def __init__(
        self, rows: Sequence[Encoded], weight: float, base: Reference, method: Method, total: int, pad_id: int
    ) -> None:
        if weight < 0:
            raise ConfigError(f"anchor.weight: must not be negative (found {weight:g})")
        if not rows:
            raise ConfigError("anchor.rows: there are none")
        self.weight = weight
        self._base = base
        self._pad_id = pad_id
        self._batches = list(batches(rows, method, total, salt="anchor"))

    def kl(self, model: Any, step: int, part: int = 0, parts: int = 1) -> Tensor:
        """KL of a step's anchor rows, or what one of equal ``parts`` of them adds to it, before the weight."""
        batch = self._batches[step]
        size = len(batch) // parts
        tokens = sum(label != IGNORED for _, labels in batch for label in labels[1:])
        ids, labels, mask = (
            tensor.to(model.device) for tensor in collate(batch[part * size : (part + 1) * size], self._pad_id)
        )
        counted = labels[:, 1:] != IGNORED
        with torch.no_grad():
            wanted = self._base(input_ids=ids, attention_mask=mask, use_cache=False).logits
        found = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return token_kl(wanted[:, :-1][counted], found[:, :-1][counted]).sum() / tokens


def token_kl(base: Tensor, tuned: Tensor) -> Tensor:
    """KL(base‖tuned) of each position, in nats.

    Args:
        base: Logits, positions × vocabulary.
        tuned: Logits of the same shape.
    """
    kind = torch.promote_types(tuned.dtype, torch.float32)
    wanted, found = base.to(kind).log_softmax(-1), tuned.to(kind).log_softmax(-1)
    return (wanted.exp() * (wanted - found)).sum(-1)


def reference(model: Any, method: Method) -> Reference:
    """The base of a prepared model.

    With LoRA and steering it is the same model with what is trained switched off, so that no second one is in memory;
    full fine-tuning leaves no base behind, so it is copied before the first step.
    """
    if method.kind == "full":
        frozen = copy.deepcopy(model).eval().requires_grad_(False)
        return frozen

    def base(**inputs: Any) -> Any:
        with switched_off(model):
            return model(**inputs)

    return base


@contextmanager
def switched_off(model: Any) -> Iterator[None]:
    """Inside, an adapter or steering vector that is being trained does nothing."""
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            yield
        return
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kept = [parameter.data for parameter in trained]
    for parameter in trained:
        parameter.data = torch.zeros_like(parameter.data)
    try:
        yield
    finally:
        for parameter, value in zip(trained, kept, strict=True):
            parameter.data = value
