"""Data-parallel steps in one process: on a tiny model, two threads with half a batch beat one operation on two cores.

The number of shards is part of the recipe, not of the machine: one core or two, the gradients are the same numbers.
"""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

LossFunction = Callable[..., Tensor]
"""(model, part of each tensor of a batch) to a loss; the losses of the parts are averaged."""


class Shards:
    """A model and replicas that share its weights, each with gradients of its own.

    Args:
        model: The model whose weights are trained.
        loss: Computes the loss of a part of a batch.
        count: Parts.
    """

    def __init__(self, model: Any, loss: LossFunction, count: int) -> None:
        self._loss = loss
        self._models = [model]
        for _ in range(count - 1):
            replica = copy.deepcopy(model)
            for parameter, shared in zip(replica.parameters(), model.parameters(), strict=True):
                parameter.data = shared.data
            self._models.append(replica)
        self._pool = ThreadPoolExecutor(count)

    def backward(self, *batch: Tensor) -> float:
        """Put the gradient of the mean loss over a batch (tensors with equal rows) into the model; returns the loss."""
        parts = zip(*(tensor.chunk(len(self._models)) for tensor in batch), strict=True)
        losses = list(self._pool.map(self._one, self._models, parts))
        for parameters in zip(*(model.parameters() for model in self._models), strict=True):
            for other in parameters[1:]:
                parameters[0].grad.add_(other.grad)
                other.grad = None
        return sum(losses)

    def each(self, functions: list[Callable[[], Any]]) -> None:
        """Call functions side by side, for example the steps of several optimizers."""
        for done in [self._pool.submit(function) for function in functions]:
            done.result()

    def _one(self, model: Any, part: tuple[Tensor, ...]) -> float:
        with torch.enable_grad():
            loss = self._loss(model, *part) / len(self._models)
            loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()
