"""A key-value cache that grows in place, and whose rows can be made anew from slots of the old ones."""

import copy

import torch


class Slots:
    """The cache of one layer: slots, rows, heads, size, with room left for the next levels of a tree."""

    def __init__(self) -> None:
        self.keys: torch.Tensor | None = None
        """Rows, heads, slots in use, size; as are the values. None before the first update."""
        self.values: torch.Tensor | None = None
        self.both: list[torch.Tensor] = []
        """Storage of the keys and of the values; empty before the first update."""
        self.spare: list[torch.Tensor] = []
        """Storage given up by the last move, used again by the next: fresh memory costs more than the copy."""

    @property
    def filled(self) -> int:
        """Slots in use."""
        return self.keys.shape[2] if self.both and self.keys is not None else 0

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Append slots (rows, heads, slots, size); gives back all keys and all values."""
        filled = self.filled
        end = filled + key_states.shape[2]
        if not self.both or end > self.both[0].shape[0]:
            self._grow(key_states, value_states, filled, end + max(16, end // 2))
        for store, new in zip(self.both, (key_states, value_states), strict=True):
            store[filled:end] = new.permute(2, 0, 1, 3)
        self._expose(end)
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def select(self, flat: torch.Tensor, rows: int, room: int) -> None:
        """Make new rows from slots of the old ones; ``flat`` counts slots by old rows, for slots by new rows."""
        heads, size = self.both[0].shape[2:]
        slots = len(flat) // rows
        needed = (slots + room) * rows * heads * size
        old, self.both = self.both, []
        for i, store in enumerate(old):
            new = self.spare[i].view(-1) if self.spare else store.new_empty(0)
            if new.numel() < needed:
                new = store.new_empty(needed + needed // 2)
            new = new[: new.numel() // (rows * heads * size) * rows * heads * size].view(-1, rows, heads, size)
            filled = new[:slots].view(-1, heads * size)
            torch.index_select(store.view(-1, heads * size), 0, flat, out=filled)
            self.both.append(new)
        self.spare = [store.view(-1) for store in old]
        self._expose(slots)

    def shared(self) -> "Slots":
        """A layer with the same storage, to select from."""
        new = copy.copy(self)
        new.spare = []
        return new

    def _grow(self, keys: torch.Tensor, values: torch.Tensor, filled: int, capacity: int) -> None:
        old, self.both = self.both, []
        for i, new in enumerate((keys, values)):
            store = new.new_empty((capacity, new.shape[0], new.shape[1], new.shape[3]))
            if filled:
                store[:filled] = old[i][:filled]
            self.both.append(store)

    def _expose(self, end: int) -> None:
        self.keys, self.values = (store[:end].permute(1, 2, 0, 3) for store in self.both)


class SlotCache:
    """The caches of all layers, for :class:`spillover.models.lean_llama.LeanLlama`."""

    def __init__(self) -> None:
        self.layers: list[Slots] = []

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Append slots to a layer, which is made when it is the next; gives back all its keys and values."""
        if layer == len(self.layers):
            self.layers.append(Slots())
        return self.layers[layer].update(keys, values)

    def get_seq_length(self) -> int:
        """Slots in use."""
        return self.layers[0].filled if self.layers else 0
