"""Forward passes down a tree of token sequences, with one copy of what the sequences share.

A *group* is one row of the key-value cache. Its slots hold the prompt and any number of tree nodes; which slots a
node sees (its prompt and its ancestors) is written in a four-dimensional attention mask, and its position is its
depth. So siblings share the cache of their prefix, and the cost of a level is its number of distinct nodes.
:meth:`Forest.regroup` spreads the nodes over more rows (down to one node a row) when that is cheaper.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spillover.models.lean_llama import LeanLlama
from spillover.models.slots import SlotCache, Slots

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FLOPS_PER_BYTE = 20.0
"""How many float operations take as long as moving one byte of cache; only its order of magnitude matters."""
_PROMPT_TOKENS = 4096
"""Prompt tokens of one batch."""
_PROMPTS = 64
"""Prompts of one batch; more are slower, since their caches push each other out of the processor's."""
_HORIZON = 4
"""Levels over which a regrouping has to pay for itself."""


@dataclass
class Nodes:
    """Live nodes of a forest: the cache row each belongs to, the slots each sees and its position."""

    group: Ints
    sees: Bools
    position: Ints

    def take(self, index: Ints) -> "Nodes":
        """The nodes at ``index``; a node may be taken several times (its children) or not at all."""
        return Nodes(self.group[index], self.sees[index], self.position[index])


class Forest:
    """Prompts and the tree nodes below them, in one cache.

    Args:
        model: A causal LM in evaluation mode, of Hugging Face or lean.
        prompts: Token ids, each at least one token long.
    """

    def __init__(self, model: Any, prompts: list[list[int]]) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.costs = Costs.of(model)
        self.cache = _empty_cache(model)
        width = max(len(prompt) for prompt in prompts)
        ids = np.zeros((len(prompts), width), dtype=np.int64)
        sees = np.zeros((len(prompts), width), dtype=bool)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = prompt
            sees[row, width - len(prompt) :] = True
        position = np.maximum(sees.cumsum(1) - 1, 0)
        self.nodes = Nodes(np.arange(len(prompts)), sees, position[:, -1])
        output = self.model(
            input_ids=self._tensor(ids),
            attention_mask=self._tensor(sees.astype(np.int64)),
            position_ids=self._tensor(position),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.rows = len(prompts)
        self.logits: torch.Tensor = output.logits[:, -1]
        """Next-token logits of the live nodes."""

    @property
    def slots(self) -> int:
        """Slots in use in every row of the cache."""
        return int(self.nodes.sees.shape[1])

    def descend(self, parents: Ints, tokens: Ints) -> None:
        """Replace the live nodes by children: child ``i`` is ``tokens[i]`` under live node ``parents[i]``.

        ``parents`` must be ascending. The new logits are in :attr:`logits`, in the order of the children.
        """
        self.nodes = self.nodes.take(parents)
        self._regroup_if_cheaper()
        nodes = self.nodes
        group, slots = nodes.group, self.slots
        column = _rank(group)
        width = int(column.max()) + 1
        ids = np.zeros((self.rows, width), dtype=np.int64)
        position = np.zeros((self.rows, width), dtype=np.int64)
        ids[group, column] = tokens
        position[group, column] = nodes.position + 1
        mask = np.zeros((self.rows, width, slots + width), dtype=bool)
        mask[group, column, :slots] = nodes.sees
        mask[:, np.arange(width), slots + np.arange(width)] = True  # itself; unused places see nothing else
        hidden = torch.zeros(mask.shape, dtype=self.model.dtype, device=self.device)
        hidden.masked_fill_(self._tensor(~mask), torch.finfo(self.model.dtype).min)
        output = self.model(
            input_ids=self._tensor(ids),
            attention_mask=hidden[:, None],
            position_ids=self._tensor(position),
            past_key_values=self.cache,
            use_cache=True,
        )
        self.nodes = Nodes(group, mask[group, column], nodes.position + 1)
        self.logits = output.logits[self._tensor(group), self._tensor(column)]

    def part(self, index: Ints) -> "Forest":
        """A forest of its own with only the live nodes at ``index`` (ascending)."""
        new = copy.copy(self)
        new.cache = _empty_cache(self.model)
        new.cache.layers = [layer.shared() for layer in self.layers]
        new.nodes = self.nodes.take(index)
        new.logits = self.logits[self._tensor(index)]
        new.regroup(int(np.bincount(new.nodes.group).max()))
        for layer in new.layers:
            layer.spare = []  # still in use here
        return new

    @property
    def layers(self) -> list[Slots]:
        """The layers of the cache, all of which are ours."""
        return [layer for layer in self.cache.layers if isinstance(layer, Slots)]

    def regroup(self, width: int) -> None:
        """Put at most ``width`` nodes in a row, each row holding only the slots its nodes see."""
        group, rows, union = self._partition(width)
        slots = int(union.sum(1).max())
        kept = np.argsort(~union, axis=1, kind="stable")[:, :slots]
        flat = self._tensor((kept * self.rows + rows[:, None]).T.reshape(-1))
        for layer in self.layers:
            layer.select(flat, len(rows), room=max(16, slots // 2))
        self.nodes = Nodes(group, np.take_along_axis(self.nodes.sees, kept[group], 1), self.nodes.position)
        self.rows = len(rows)

    def _partition(self, width: int) -> tuple[Ints, Ints, Bools]:
        """New row of each node, old row of each new row, and the slots each new row needs."""
        old = self.nodes.group
        key = old * (len(old) + 1) + _rank(old) // width
        starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        group = np.cumsum(np.r_[False, key[1:] != key[:-1]]).astype(np.int64)
        return group, old[starts], np.logical_or.reduceat(self.nodes.sees, starts, axis=0)

    def _regroup_if_cheaper(self) -> None:
        sizes = np.bincount(self.nodes.group)
        widest = int(sizes.max())
        keep = _HORIZON * self.costs.level(self.rows, widest, self.slots)
        best, best_width = keep, 0
        width = 1
        while True:
            _, rows, union = self._partition(width)
            slots = int(union.sum(1).max())
            cost = _HORIZON * self.costs.level(len(rows), min(width, widest), slots)
            cost += self.costs.move(len(rows), slots)
            if cost < best:
                best, best_width = cost, width
            if width >= widest:
                break
            width *= 2
        if best_width:
            self.regroup(best_width)

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


@dataclass(frozen=True)
class Costs:
    """What a level costs, in float operations, to choose between many narrow rows and few wide ones."""

    token: float
    attention: float
    cache_bytes: float

    @classmethod
    def of(cls, model: Any) -> "Costs":
        """Costs of a model, from its parameter count and its configuration."""
        config = model.config.get_text_config()
        layers, heads = config.num_hidden_layers, config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        shared = getattr(config, "num_key_value_heads", None) or heads
        return cls(2.0 * model.num_parameters(), 8.0 * layers * heads * size, 2.0 * layers * shared * size * 4)

    def level(self, rows: int, width: int, slots: int) -> float:
        """One forward pass of ``width`` nodes in each of ``rows`` rows."""
        return rows * (width * (self.token + self.attention * slots) + _FLOPS_PER_BYTE * self.cache_bytes * slots)

    def move(self, rows: int, slots: int) -> float:
        """Copying the cache into new rows."""
        return 2 * _FLOPS_PER_BYTE * self.cache_bytes * rows * slots


def batches(prompts: Sequence[Sequence[int]], max_rows: int) -> list[list[int]]:
    """Indices of prompts to be put into one forest: of similar length, and not too many tokens."""
    found: list[list[int]] = []
    for i in sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), tuple(prompts[i]))):
        full = not found or len(found[-1]) >= min(max_rows, _PROMPTS)
        if full or (len(found[-1]) + 1) * len(prompts[i]) > _PROMPT_TOKENS:
            found.append([])
        found[-1].append(i)
    return found


def _empty_cache(model: Any) -> Any:
    if isinstance(model, LeanLlama):
        return SlotCache()
    from spillover.models.hf_cache import slot_cache  # seconds of imports

    return slot_cache()


def _rank(group: Ints) -> Ints:
    """Position of each node among the nodes of its row; ``group`` is ascending."""
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    return np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
