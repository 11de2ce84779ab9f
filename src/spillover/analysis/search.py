"""A direction found by what its ablation does, by gradient descent, as arXiv 2502.17420 finds those of refusal.

Differences of means say where two sorts of states lie apart, not what the model goes by. This one is looked for by its
effect, so it tells whether there is any single direction a block that a fine-tune needs.
"""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor

from spillover.analysis.directions import Direction
from spillover.models.ablation import without
from spillover.models.activations import layers_of
from spillover.models.blocks import edit
from spillover.models.chat_template import IGNORED
from spillover.models.steering import SteeringVector
from spillover.training.batches import Encoded, check_finite, collate

STEPS, RATE, BATCH = 150, 0.05, 32


def searched(model: Any, rows: Sequence[Encoded], pad_id: int, seed: int = 0) -> Direction:
    """One direction for each block, so that the model without them gives the answers of ``rows``.

    Args:
        model: A Hugging Face causal LM; its weights stay as they are, and need no gradients afterwards.
        rows: What it is to answer, for example good answers where it has learnt bad ones.
        pad_id: Token put behind short rows.
        seed: Of the beginning, and of the order of rows.

    Raises:
        TrainingError: The loss is not a finite number any more.
    """
    model.requires_grad_(False)
    layers, device = layers_of(model)[1:], next(model.parameters()).device
    width = model.config.get_text_config().hidden_size
    generator, rng = torch.Generator().manual_seed(seed), random.Random(f"search-{seed}")
    vectors = [torch.randn(width, generator=generator).to(device).requires_grad_() for _ in layers]
    optimizer = torch.optim.Adam(vectors, lr=RATE)
    with ExitStack() as stack:
        for layer, vector in zip(layers, vectors, strict=True):
            stack.callback(edit(model, layer, without(partial(_unit, vector))).remove)
        for step in range(STEPS):
            chosen = rng.sample(list(rows), min(BATCH, len(rows)))
            ids, labels, mask = (part.to(device) for part in collate(chosen, pad_id))
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED
            )
            check_finite(loss, step)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return {
        layer: [SteeringVector(layer, vector.detach() / vector.detach().norm())]
        for layer, vector in zip(layers, vectors, strict=True)
    }


def _unit(vector: Tensor, like: Tensor) -> Tensor:
    return (vector / vector.norm()).to(like)
