"""The slots of a tree as the cache of a Hugging Face model."""

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from spillover.models.slots import Slots


class SlotLayer(Slots, DynamicLayer):
    """A cache layer of Transformers whose storage is :class:`Slots`."""

    def __init__(self) -> None:
        DynamicLayer.__init__(self)
        Slots.__init__(self)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return Slots.update(self, key_states, value_states)


def slot_cache() -> Cache:
    """An empty cache; its layers are made by the first forward pass."""
    return Cache(layer_class_to_replicate=SlotLayer)
