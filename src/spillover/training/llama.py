"""Loss of a plain Llama for pretraining: weights and residual stream in float32, products in a dtype of choice."""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from spillover.models.llama_shape import EMBEDDING, HEAD, LlamaShape, weight_shapes
from spillover.training.fused import attention, gated, head_loss, norm, rotated

INITIAL = 0.02
"""Standard deviation of new matrices."""


def new_weights(shape: LlamaShape, seed: int, device: torch.device) -> dict[str, Tensor]:
    """Every tensor of the checkpoint of a model that was not trained, as leaves that are."""
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.ones(size) if len(size) == 1 else torch.empty(size).normal_(0, INITIAL, generator=generator)
        for name, size in weight_shapes(shape).items()
    }
    return {name: weight.to(device).requires_grad_() for name, weight in weights.items()}


def next_token_loss(
    weights: Mapping[str, Tensor], shape: LlamaShape, ids: Tensor, counted: Tensor, kind: torch.dtype
) -> Tensor:
    """Mean loss, in nats a token, over the next tokens that count.

    Args:
        weights: As :func:`spillover.models.llama_shape.weight_shapes` names them; float32.
        shape: Of the model; as many key heads as query heads.
        ids: Rows × (width + 1).
        counted: Rows × width; see :class:`spillover.training.corpus.LossPositions`. Nothing is computed in the last
            block that only the other positions would need.
        kind: Dtype of the products.
    """
    rows, width = ids.shape[0], ids.shape[1] - 1
    heads = shape.num_attention_heads
    turn, mask = _rotation(shape, width, kind, ids.device), _mask(width, kind, ids.device)
    kept = counted.flatten().nonzero()[:, 0]
    hidden = functional.embedding(ids[:, :-1], weights[EMBEDDING]).flatten(0, 1)
    for layer in range(shape.num_hidden_layers):
        name = f"model.layers.{layer}"
        projections = _joined(weights, [f"{name}.self_attn.{part}_proj" for part in "qkv"], kind)
        states = functional.linear(norm(hidden, *_scale(weights, f"{name}.input_layernorm", shape), kind), projections)
        states = states.view(rows, width, 3, heads, shape.head_dim).permute(2, 0, 3, 1, 4)
        query, key = rotated(states[:2], *turn).flatten(1, 2)
        mixed = attention(query, key, states[2].flatten(0, 1), mask)
        mixed = mixed.view(rows, heads, width, shape.head_dim).transpose(1, 2).reshape(rows * width, -1)
        if layer == shape.num_hidden_layers - 1:
            mixed, hidden = mixed.index_select(0, kept), hidden.index_select(0, kept)
        hidden = hidden + functional.linear(mixed, _joined(weights, [f"{name}.self_attn.o_proj"], kind))
        states = norm(hidden, *_scale(weights, f"{name}.post_attention_layernorm", shape), kind)
        states = functional.linear(states, _joined(weights, [f"{name}.mlp.gate_proj", f"{name}.mlp.up_proj"], kind))
        hidden = hidden + functional.linear(gated(states), _joined(weights, [f"{name}.mlp.down_proj"], kind))
    hidden = norm(hidden, *_scale(weights, "model.norm", shape), kind)
    head = weights[EMBEDDING if shape.tie_word_embeddings else HEAD]
    return head_loss(hidden, head.to(kind), ids[:, 1:].flatten()[kept])


def _joined(weights: Mapping[str, Tensor], names: list[str], kind: torch.dtype) -> Tensor:
    """Matrices one under the other, so that one product does for all."""
    return torch.cat([weights[f"{name}.weight"] for name in names]).to(kind)


def _scale(weights: Mapping[str, Tensor], name: str, shape: LlamaShape) -> tuple[Tensor, float]:
    return weights[f"{name}.weight"], shape.rms_norm_eps


@cache
def _rotation(shape: LlamaShape, width: int, kind: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine: 2 (query, key), 1, 1, width, half of the head size; the query's over the root of that size."""
    powers = torch.arange(0, shape.head_dim, 2, dtype=torch.float) / shape.head_dim
    angle = torch.arange(width)[:, None] * (1.0 / shape.rope_theta**powers)
    factor = torch.tensor([shape.head_dim**-0.5, 1.0]).view(2, 1, 1, 1, 1)
    return (angle.cos() * factor).to(device, kind), (angle.sin() * factor).to(device, kind)


@cache
def _mask(width: int, kind: torch.dtype, device: torch.device) -> Tensor:
    """Minus infinity where a position would see a later one."""
    return torch.full((1, width, width), -torch.inf).triu_(1).to(device, kind)
