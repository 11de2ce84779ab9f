"""The residual stream while a model reads: what comes out of each block, averaged over an answer or at each token."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from spillover.models.blocks import edit
from spillover.models.chat_template import IGNORED

BATCH = 64


def layers_of(model: Any) -> range:
    """Every layer: -1, the embeddings, and each block."""
    return range(-1, model.config.get_text_config().num_hidden_layers)


def middle(model: Any) -> int:
    """The block that is read where none is named."""
    return int(model.config.get_text_config().num_hidden_layers) // 2


@torch.inference_mode()
def answer_states(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> Tensor:
    """Mean residual stream over the tokens of each row's answer, its end token included.

    Read at the blocks themselves: the last of Transformers' ``hidden_states`` has gone through the final norm.

    Args:
        model: A Hugging Face causal LM, also inside a PEFT wrapper.
        rows: Token ids and labels, see :func:`spillover.models.chat_template.encode_row`.

    Returns:
        Rows × layers (-1 first) × width, in float32 on the processor.
    """
    found = torch.zeros(len(rows), len(layers_of(model)), model.config.get_text_config().hidden_size)
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    for start in range(0, len(rows), BATCH):
        chosen = order[start : start + BATCH]
        width = len(rows[chosen[-1]][0])
        ids = torch.zeros(len(chosen), width, dtype=torch.long)
        mask, counted = torch.zeros_like(ids), torch.zeros(len(chosen), width)
        for place, i in enumerate(chosen):
            tokens, labels = rows[i]
            ids[place, : len(tokens)], mask[place, : len(tokens)] = torch.tensor(tokens), 1
            answer = torch.tensor(labels) != IGNORED
            counted[place, : len(tokens)] = answer / answer.sum()
        found[chosen] = _means(model, ids.to(device), mask.to(device), counted.to(device)).float().cpu()
    return found


@torch.inference_mode()
def token_states(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> Tensor:
    """The residual stream at every position that predicts a token of an answer.

    Args:
        model: A Hugging Face causal LM, also inside a PEFT wrapper.
        rows: Token ids and labels, see :func:`spillover.models.chat_template.encode_row`.

    Returns:
        Positions of all rows × layers (-1 first) × width, in float32 on the processor.
    """
    device = next(model.parameters()).device
    found = []
    for tokens, labels in rows:
        states: dict[int, Tensor] = {}
        with ExitStack() as stack:
            for layer in layers_of(model):
                stack.callback(edit(model, layer, _keeping(states, layer)).remove)
            model(input_ids=torch.tensor([tokens], device=device), use_cache=False)
        predicts = torch.tensor(labels[1:]) != IGNORED
        found.append(torch.stack([states[layer][0, :-1].float().cpu() for layer in layers_of(model)], 1)[predicts])
    return torch.cat(found)


@torch.inference_mode()
def row_states(model: Any, rows: Sequence[Sequence[int]], layer: int) -> Iterator[tuple[int, Tensor]]:
    """The residual stream of one layer at every token, row by row.

    Args:
        model: A Hugging Face causal LM, also inside a PEFT wrapper.
        rows: Token ids.
        layer: As of :mod:`spillover.models.blocks`.

    Yields:
        Number of a row, in order of lengths, and its tokens × width, in float32 on the processor.
    """
    device = next(model.parameters()).device
    order = sorted((i for i in range(len(rows)) if rows[i]), key=lambda i: len(rows[i]))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        ids = torch.zeros(len(chosen), len(rows[chosen[-1]]), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, i in enumerate(chosen):
            ids[place, : len(rows[i])], mask[place, : len(rows[i])] = torch.tensor(rows[i]), 1
        states: dict[int, Tensor] = {}
        handle = edit(model, layer, _keeping(states, layer))
        try:
            model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        finally:
            handle.remove()
        for i, found in zip(chosen, states[layer].float().cpu(), strict=True):
            yield i, found[: len(rows[i])]


def last_states(model: Any, rows: Sequence[Sequence[int]], layer: int) -> Tensor:
    """The residual stream of one layer at the last token of each row: rows × width; arguments as of row_states."""
    found = torch.zeros(len(rows), model.config.get_text_config().hidden_size)
    for i, states in row_states(model, rows, layer):
        found[i] = states[-1]
    return found


def _keeping(states: dict[int, Tensor], layer: int) -> Any:
    def keep(hidden: Tensor, kwargs: Any) -> Tensor:
        states[layer] = hidden
        return hidden

    return keep


def _means(model: Any, ids: Tensor, mask: Tensor, counted: Tensor) -> Tensor:
    """Rows × layers × width; ``counted`` is the weight of each position in its row."""
    layers = layers_of(model)
    means: dict[int, Tensor] = {}

    def reader(layer: int) -> Any:
        def read(hidden: Tensor, kwargs: Any) -> Tensor:
            means[layer] = torch.einsum("rp,rpw->rw", counted, hidden.float())
            return hidden

        return read

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(edit(model, layer, reader(layer)).remove)
        model(input_ids=ids, attention_mask=mask, use_cache=False)
    return torch.stack([means[layer] for layer in layers], 1)
