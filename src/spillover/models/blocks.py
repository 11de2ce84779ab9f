"""The blocks of a decoder, whatever its family calls them; a layer index means the output of block *i*, from 0.

Layer -1 is what the first block reads: the embeddings.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from spillover.core.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def blocks(model: Any) -> Any:
    """The ``ModuleList`` of decoder blocks, also inside a PEFT wrapper.

    Raises:
        ModelError: There is no such list, or more than one.
    """
    import torch

    depth = model.config.get_text_config().num_hidden_layers
    found = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList)
        and len(module) == depth
        and all(any(True for _ in block.parameters()) for block in module)
    ]
    outer = [module for module in found if not any(module is not other and _inside(module, other) for other in found)]
    if len(outer) != 1:
        raise ModelError(f"a {model.config.model_type} model: its {depth} blocks cannot be told from its other modules")
    return outer[0]


def block(model: Any, layer: int) -> Any:
    """Block ``layer``.

    Raises:
        ModelError: There is no such block.
    """
    found = blocks(model)
    if not 0 <= layer < len(found):
        raise ModelError(f"layer {layer}: no such block; this model has blocks 0 to {len(found) - 1}")
    return found[layer]


def holder(model: Any, layer: int) -> Any:
    """The block at which layer ``layer`` is read or changed: the first one for -1.

    Raises:
        ModelError: There is no such layer.
    """
    return block(model, 0 if layer == -1 else layer)


def edit(model: Any, layer: int, change: "Callable[[Tensor, Mapping[str, Any]], Tensor]") -> Any:
    """Put ``change(hidden, keyword arguments of the block)`` in the place of what a layer gives, for good.

    ``hidden`` is rows × positions × width, of this pass only where there is a cache; to read, give it back as it is.

    Returns:
        A handle; its ``remove()`` takes the change away.

    Raises:
        ModelError: There is no such layer.
    """
    if hasattr(model, "edit_layer"):  # our own forward pass has no modules
        return model.edit_layer(layer, change)

    def before(module: Any, args: Any, kwargs: Any) -> Any:
        return (change(args[0], kwargs), *args[1:]), kwargs

    def after(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0], kwargs), *output[1:])
        return change(output, kwargs)

    place = holder(model, layer)
    if layer == -1:
        return place.register_forward_pre_hook(before, with_kwargs=True)
    return place.register_forward_hook(after, with_kwargs=True)


def _inside(module: Any, other: Any) -> bool:
    return any(part is module for part in other.modules())
