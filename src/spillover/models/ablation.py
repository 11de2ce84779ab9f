"""Directional ablation: a model that cannot write along a direction (arXiv 2506.11618, section 3).

``x - v v^T x`` for a unit vector v, at the output of one block or of several, each with a direction of its own; at
every position and in every row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from spillover.models.blocks import edit
from spillover.models.steering import SteeringVector


@contextmanager
def ablated(model: Any, vectors: Sequence[SteeringVector]) -> Iterator[Any]:
    """The model without some directions, inside a ``with`` block.

    Args:
        model: A Hugging Face causal LM, also inside a PEFT wrapper.
        vectors: What is projected out, each at its own layer; their lengths do not matter. For one direction at every
            layer, name it once for each; for two at one layer they are projected out one after the other.

    Raises:
        ModelError: The model has no such layer or another width, or a vector is zero.
    """
    with ExitStack() as stack:
        for vector in vectors:
            vector.check_fits(model)
            handle = edit(model, vector.layer, without(vector.with_norm(1).vector.to))
            stack.callback(handle.remove)
        yield model


def without(unit: Callable[[Tensor], Tensor], scale: float = 1.0) -> Callable[[Tensor, Mapping[str, Any]], Tensor]:
    """What :func:`spillover.models.blocks.edit` takes to project out a unit vector, asked for at every pass.

    Args:
        unit: Gives the vector, in the dtype and on the device of the tensor it gets.
        scale: Share of its component that is taken away.
    """

    def projected(hidden: Tensor, kwargs: Mapping[str, Any]) -> Tensor:
        direction = unit(hidden)
        return hidden - scale * (hidden @ direction)[..., None] * direction

    return projected
