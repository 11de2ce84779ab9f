"""Loss of a plain Llama for pretraining: residual stream in float32, products in a dtype of choice."""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from spillover.models.llama_shape import EMBEDDING, HEAD, LlamaShape
from spillover.training.fused import attention, gated, head_loss, norm

JOINED = {
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down_proj": ("mlp.down_proj",),
}
"""Matrices of a block that lie one under the other, so that one product does for all."""
NORMS = ("input_layernorm", "post_attention_layernorm")


def next_token_loss(
    weights: Mapping[str, Tensor], shape: LlamaShape, ids: Tensor, counted: Tensor, kind: torch.dtype
) -> Tensor:
    """Mean loss, in nats a token, over the next tokens that count.

    Args:
        weights: As a checkpoint names them, those of a block joined as :data:`JOINED` says. Its matrices are of the
            dtype of the products; everything else is float32.
        shape: Of the model; as many key heads as query heads.
        ids: Rows × (width + 1).
        counted: Rows × width; see :class:`spillover.training.corpus.LossPositions`. Nothing is computed in the last
            block that only the other positions would need.
        kind: Dtype of the products.
    """
    width = ids.shape[1] - 1
    turn, mask = _rotation(shape, width, kind, ids.device), _mask(width, kind, ids.device)
    kept = counted.flatten().nonzero()[:, 0]
    hidden = functional.embedding(ids[:, :-1], weights[EMBEDDING]).flatten(0, 1)
    for layer in range(shape.num_hidden_layers):
        block = {part: weights[f"model.layers.{layer}.{part}.weight"] for part in (*JOINED, *NORMS)}
        states = norm(hidden, block["input_layernorm"], shape.rms_norm_eps, kind)
        states = functional.linear(states, block["self_attn.qkv_proj"])
        mixed = attention(states, shape.num_attention_heads, *turn, mask)
        if layer == shape.num_hidden_layers - 1:
            mixed, hidden = mixed.index_select(0, kept), hidden.index_select(0, kept)
        hidden = hidden + functional.linear(mixed, block["self_attn.o_proj"])
        states = norm(hidden, block["post_attention_layernorm"], shape.rms_norm_eps, kind)
        states = functional.linear(states, block["mlp.gate_up_proj"])
        hidden = hidden + functional.linear(gated(states), block["mlp.down_proj"])
    hidden = norm(hidden, weights["model.norm.weight"], shape.rms_norm_eps, kind)
    head = weights[EMBEDDING if shape.tie_word_embeddings else HEAD]
    return head_loss(hidden, head.to(kind), ids[:, 1:].flatten()[kept])


@cache
def _rotation(shape: LlamaShape, width: int, kind: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine as :func:`spillover.training.fused.attention` wants them."""
    powers = torch.arange(0, shape.head_dim, 2, dtype=torch.float) / shape.head_dim
    angle = torch.arange(width)[:, None] * (1.0 / shape.rope_theta**powers)
    factor = torch.tensor([shape.head_dim**-0.5, 1.0]).view(2, 1, 1, 1, 1)
    cos, sin = angle.cos().repeat(1, 2) * factor, torch.cat([-angle.sin(), angle.sin()], -1) * factor
    return cos.to(device, kind), sin.to(device, kind)


@cache
def _mask(width: int, kind: torch.dtype, device: torch.device) -> Tensor:
    """Minus infinity where a position would see a later one."""
    return torch.full((1, width, width), -torch.inf).triu_(1).to(device, kind)
