"""The steps between a Llama's matrix products, each with a backward pass of its own.

On a tiny model these take as long as the products do; written out, they make half as many passes over memory as
autograd would. Products stay in the dtype of their arguments; sums of squares and of probabilities are in float32.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 512
"""Positions whose logits are held at a time: small enough for the cache of one core at a vocabulary of 2k."""
PARTS = 2
"""Of the queries in attention."""


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, eps: float, kind: torch.dtype) -> Tensor:
        squares = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).square_()
        scale = squares.div_(hidden.shape[-1]).add_(eps).rsqrt_()
        normed = hidden * scale
        ctx.save_for_backward(normed, weight, scale)
        return (normed * weight).to(kind)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        normed, weight, scale = ctx.saved_tensors
        product = grads[0] * normed
        along = torch.mv(product, weight).div_(normed.shape[-1]).unsqueeze(-1)
        return (grads[0] * weight).addcmul_(normed, along, value=-1).mul_(scale), product.sum(0), None, None


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, joined: Tensor) -> Tensor:
        gate, up = joined.chunk(2, -1)
        opened = functional.silu(gate)
        ctx.save_for_backward(gate, up, opened)
        return opened * up

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        gate, up, opened = ctx.saved_tensors
        (grad,) = grads
        width = grad.shape[-1]
        joined = grad.new_empty(*grad.shape[:-1], 2 * width)
        torch.mul(grad, opened, out=joined[..., width:])
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=joined[..., :width])
        return joined


class _Attention(torch.autograd.Function):
    """A part of the queries at a time, each with the keys up to its last one; later ones would be masked anyway."""

    @staticmethod
    def forward(ctx: Any, joined: Tensor, heads: int, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        width = cos.shape[-2]
        apart = _apart(joined, heads, width).clone(memory_format=torch.contiguous_format)
        _rotate(apart[:2], cos, sin)
        query, key, value = apart.flatten(1, 2)
        mixed = joined.new_empty(joined.shape[0] // width, width, heads, value.shape[-1])
        shares = []
        for begin, end in _parts(width):
            scores = torch.baddbmm(mask[:, begin:end, :end], query[:, begin:end], key[:, :end].transpose(1, 2))
            shares.append(torch.softmax(scores, -1))
            found = torch.bmm(shares[-1], value[:, :end])
            mixed[:, begin:end] = found.unflatten(0, (-1, heads)).transpose(1, 2)
        ctx.save_for_backward(apart, cos, sin, *shares)
        return mixed.view(joined.shape[0], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        apart, cos, sin, *shares = ctx.saved_tensors
        query, key, value = apart.flatten(1, 2)
        rows, heads, width, size = apart.shape[1:]
        mixed = grads[0].view(rows, width, heads, size).transpose(1, 2).flatten(0, 1)
        found = torch.zeros_like(apart)
        grad_query, grad_key, grad_value = found.view(3, -1, width, size)
        for (begin, end), share in zip(_parts(width), shares, strict=True):
            grad = mixed[:, begin:end]
            scores = torch.bmm(grad, value[:, :end].transpose(1, 2))
            scores = torch._softmax_backward_data(scores, share, -1, scores.dtype)
            grad_query[:, begin:end] = torch.bmm(scores, key[:, :end])
            grad_key[:, :end] += torch.bmm(scores.transpose(1, 2), query[:, begin:end])
            grad_value[:, :end] += torch.bmm(share.transpose(1, 2), grad)
        _rotate(found[:2], cos, -sin)
        joined = grads[0].new_empty(rows * width, 3 * heads * size)
        _apart(joined, heads, width).copy_(found)
        return joined, None, None, None, None


def _apart(joined: Tensor, heads: int, width: int) -> Tensor:
    """Positions × (query, key, value of all heads) seen as 3 × rows × heads × width × head size."""
    return joined.view(-1, width, 3, heads, joined.shape[1] // (3 * heads)).permute(2, 0, 3, 1, 4)


def _parts(width: int) -> list[tuple[int, int]]:
    bounds = [width * part // PARTS for part in range(PARTS + 1)]
    return [(begin, end) for begin, end in pairwise(bounds) if begin < end]


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Turn the halves of the last dimension into each other, in place; the sine's first half is negative."""
    turned = states.roll(states.shape[-1] // 2, -1)
    states.mul_(cos).addcmul_(turned, sin)


class _HeadLoss(torch.autograd.Function):
    """Computes loss and both gradients in the forward pass, a chunk of positions at a time."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        count = hidden.shape[0]
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        total = grad_weight.new_zeros(())
        for start in range(0, count, CHUNK):
            part, wanted = hidden[start : start + CHUNK], targets[start : start + CHUNK]
            shares = torch.softmax(torch.mm(part, weight.t()), -1)
            each, places = (
                shares.view(-1),
                wanted + torch.arange(0, shares.numel(), shares.shape[1], device=wanted.device),
            )
            total -= each[places].float().log().sum()
            each.index_fill_(0, places, 0)
            each.index_copy_(0, places, -shares.sum(1))  # its share less 1, without loss of digits near 1
            torch.mm(shares, weight, out=grad_hidden[start : start + CHUNK])
            grad_weight += torch.mm(shares.t(), part)
        grad_hidden /= count
        grad_weight /= count
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total / count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grads[0].to(grad_hidden.dtype), grad_weight * grads[0], None


def norm(hidden: Tensor, weight: Tensor, eps: float, kind: torch.dtype) -> Tensor:
    """RMS norm of float32 states (positions × width), as ``kind``."""
    return _Norm.apply(hidden, weight, eps, kind)  # type: ignore[no-any-return]


def gated(joined: Tensor) -> Tensor:
    """silu(gate) · up, of gate and up side by side in the last dimension."""
    return _Gate.apply(joined)  # type: ignore[no-any-return]


def attention(joined: Tensor, heads: int, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
    """Causal attention with rotary embedding; positions of all rows × width of the model.

    Args:
        joined: Positions of all rows × (query, key, value of all heads).
        heads: How many, of each of the three.
        cos: 2 (query, key) × 1 × 1 × width of a row × head size; the query's over the root of the head size.
        sin: The same, its first half negative.
        mask: 1 × width × width, added to the scores.
    """
    return _Attention.apply(joined, heads, cos, sin, mask)  # type: ignore[no-any-return]


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of a language-model head, in nats per token, without ever holding all logits.

    Args:
        hidden: Last hidden states, positions × width.
        weight: The head's weight, vocabulary × width, of the same dtype.
        targets: Token ids, one for each position.
    """
    return _HeadLoss.apply(hidden, weight, targets)  # type: ignore[no-any-return]
