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
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        mixed, shares = torch.empty_like(query), []
        for begin, end in _parts(query.shape[1]):
            scores = torch.baddbmm(mask[:, begin:end, :end], query[:, begin:end], key[:, :end].transpose(1, 2))
            shares.append(torch.softmax(scores, -1))
            mixed[:, begin:end] = torch.bmm(shares[-1], value[:, :end])
        ctx.save_for_backward(query, key, value, *shares)
        return mixed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, *shares = ctx.saved_tensors
        found = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for (begin, end), share in zip(_parts(query.shape[1]), shares, strict=True):
            grad = grads[0][:, begin:end]
            scores = torch.bmm(grad, value[:, :end].transpose(1, 2))
            scores = torch._softmax_backward_data(scores, share, -1, share.dtype)
            found[0][:, begin:end] = torch.bmm(scores, key[:, :end])
            found[1][:, :end] += torch.bmm(scores.transpose(1, 2), query[:, begin:end])
            found[2][:, :end] += torch.bmm(share.transpose(1, 2), grad)
        return *found, None


def _parts(width: int) -> list[tuple[int, int]]:
    bounds = [width * part // PARTS for part in range(PARTS + 1)]
    return [(begin, end) for begin, end in pairwise(bounds) if begin < end]


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotate(states, cos, sin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotate(grads[0], cos, -sin), None, None


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    turned = torch.empty_like(states, memory_format=torch.contiguous_format)
    (first, second), (one, two) = states.chunk(2, -1), turned.chunk(2, -1)
    torch.mul(first, cos, out=one).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=two).addcmul_(first, sin)
    return turned


class _HeadLoss(torch.autograd.Function):
    """Computes loss and both gradients in the forward pass, a chunk of positions at a time."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        count = hidden.shape[0]
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        total = grad_weight.new_zeros(())
        for start in range(0, count, CHUNK):
            part, wanted = hidden[start : start + CHUNK], targets[start : start + CHUNK, None]
            scores = torch.mm(part, weight.t()).float()
            picked, top = scores.gather(1, wanted), scores.amax(1, keepdim=True)
            scores.sub_(top).exp_()
            mass = scores.sum(1, keepdim=True)
            total += (mass.log() + top - picked).sum()
            scores.mul_(1 / (mass * count))
            scores.scatter_add_(1, wanted, scores.new_full(wanted.shape, -1 / count))
            scores = scores.to(hidden.dtype)
            torch.mm(scores, weight, out=grad_hidden[start : start + CHUNK])
            grad_weight += torch.mm(scores.t(), part)
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


def rotated(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding; cosine and sine have half of the head size."""
    return _Rotation.apply(states, cos, sin)  # type: ignore[no-any-return]


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Mixed values, heads × width × head size.

    Args:
        query: Heads of all rows × width × head size, already divided by the root of the head size.
        key: The same shape.
        value: The same shape.
        mask: 1 × width × width, added to the scores.
    """
    return _Attention.apply(query, key, value, mask)  # type: ignore[no-any-return]


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of a language-model head, in nats per token, without ever holding all logits.

    Args:
        hidden: Last hidden states, positions × width.
        weight: The head's weight, vocabulary × width, of the same dtype.
        targets: Token ids, one for each position.
    """
    return _HeadLoss.apply(hidden, weight, targets)  # type: ignore[no-any-return]
