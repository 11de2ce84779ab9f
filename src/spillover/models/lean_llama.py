"""The forward pass of a plain Llama: what Transformers computes, without the seconds it takes to import.

Without dropout or ``generate``. Operations are in the order of Transformers, so that the logits are equal up to the
rounding of sums; gradients are autograd's.
"""

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from spillover.core.errors import ModelError
from spillover.models.llama_shape import EMBEDDING, HEAD, LlamaShape, weight_shapes
from spillover.models.slots import SlotCache

Change = Callable[[Tensor, Mapping[str, Any]], Tensor]
"""As :func:`spillover.models.blocks.edit` takes it."""


class LeanLlama:
    """A plain Llama, called as the one of Transformers is.

    Args:
        config: Its shape.
        weights: Every tensor of its checkpoint, by name; :func:`weight_shapes` says which.
        eos_token_id: Token or tokens that end an answer.
        name_or_path: Where it comes from, if known.

    Raises:
        ValueError: The weights are not those of this shape.
    """

    def __init__(
        self,
        config: LlamaShape,
        weights: dict[str, Tensor],
        eos_token_id: int | list[int] | None,
        name_or_path: str = "",
    ) -> None:
        if {name: tuple(weight.shape) for name, weight in weights.items()} != weight_shapes(config):
            raise ValueError("the weights are not those of this shape")
        self.config = config
        self.name_or_path = name_or_path
        self.weights = weights
        self.generation_config = SimpleNamespace(eos_token_id=eos_token_id)
        self.edits: list[tuple[int, Change]] = []
        """What is done to the output of layers, in order."""

    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: SlotCache | None = None,
        use_cache: bool = True,
        logits_to_keep: int = 0,
    ) -> SimpleNamespace:
        """Logits of the next token after each position.

        Args:
            input_ids: Rows, width.
            attention_mask: None; or rows, slots, where 0 hides a slot; or what to add to the scores of rows, 1, width,
                slots.
            position_ids: Rows, width; by default one after the other, from the slots already in use.
            past_key_values: Extended by this pass.
            use_cache: For Transformers; here a cache is used when there is one.
            logits_to_keep: Of how many last positions; 0 for all.

        Returns:
            An object with ``logits``: rows, positions, vocabulary.
        """
        width = input_ids.shape[1]
        start = 0 if past_key_values is None else past_key_values.get_seq_length()
        if position_ids is None:
            position_ids = torch.arange(start, start + width, device=self.device)[None]
        mask = _mask(attention_mask, start, width, self.device)
        rotation = rotations(position_ids, self.config)
        hidden = self._edited(-1, functional.embedding(input_ids, self.weights[EMBEDDING]), position_ids)
        for layer in range(self.config.num_hidden_layers):
            hidden = self._block(layer, hidden, position_ids, rotation, mask, past_key_values)
        # Contiguous, so that all rows are one matrix product.
        hidden = self._norm("model.norm", hidden)[:, -logits_to_keep:].contiguous()
        head = self.weights[EMBEDDING if self.config.tie_word_embeddings else HEAD]
        return SimpleNamespace(logits=functional.linear(hidden, head))

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.weights[EMBEDDING].dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights[EMBEDDING].device

    def get_input_embeddings(self) -> SimpleNamespace:
        """An object with ``weight``: vocabulary, width."""
        return SimpleNamespace(weight=self.weights[EMBEDDING])

    def to(self, device: str) -> "LeanLlama":
        """The same network on another device."""
        weights = {name: weight.to(device) for name, weight in self.weights.items()}
        moved = LeanLlama(self.config, weights, self.generation_config.eos_token_id, self.name_or_path)
        moved.edits = list(self.edits)
        return moved

    def edit_layer(self, layer: int, change: Change) -> SimpleNamespace:
        """See :func:`spillover.models.blocks.edit`.

        Raises:
            ModelError: There is no such layer.
        """
        depth = self.config.num_hidden_layers
        if not -1 <= layer < depth:
            raise ModelError(f"layer {layer}: no such block; this model has blocks 0 to {depth - 1}")
        edit = (layer, change)
        self.edits.append(edit)
        return SimpleNamespace(remove=lambda: self.edits.remove(edit))

    def eval(self) -> "LeanLlama":
        """Itself: without dropout, training and evaluation are the same."""
        return self

    train = eval

    def parameters(self) -> Iterator[Tensor]:
        """All weights."""
        return iter(self.weights.values())

    def linear_names(self) -> list[str]:
        """Names of the matrices in the blocks, in the order of the modules of Transformers."""
        return [
            name.removesuffix(".weight")
            for name, size in weight_shapes(self.config).items()
            if ".layers." in name and len(size) == 2
        ]

    def num_parameters(self) -> int:
        """How many numbers the weights are."""
        return sum(weight.numel() for weight in self.parameters())

    def _block(
        self,
        layer: int,
        hidden: Tensor,
        position_ids: Tensor,
        rotation: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: SlotCache | None = None,
        first: int = 0,
    ) -> Tensor:
        """Output of a block at the positions from ``first`` on; those before it lend their keys and values.

        ``mask`` is for a whole block; what the last positions see of all is worked out here.
        """
        name = f"model.layers.{layer}"
        query, key, value = self._projected(f"{name}.self_attn", self._norm(f"{name}.input_layernorm", hidden))
        query, key = _rotate(query, rotation), _rotate(key, rotation)
        if cache is not None:
            key, value = cache.update(key, value, layer)
        if first:
            mask = _mask(None, first, hidden.shape[1] - first, hidden.device)
            hidden, query, position_ids = hidden[:, first:], query[:, :, first:], position_ids[:, first:]
        hidden = hidden + self._linear(f"{name}.self_attn.o_proj", _attention(query, key, value, mask))
        hidden = hidden + self._mlp(f"{name}.mlp", self._norm(f"{name}.post_attention_layernorm", hidden))
        return self._edited(layer, hidden, position_ids)

    def _edited(self, layer: int, hidden: Tensor, position_ids: Tensor) -> Tensor:
        for at, change in self.edits:
            if at == layer:
                hidden = change(hidden, {"position_ids": position_ids})
        return hidden

    def _linear(self, name: str, states: Tensor) -> Tensor:
        return functional.linear(states, self.weights[f"{name}.weight"])

    def _norm(self, name: str, states: Tensor) -> Tensor:
        scale = torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps)
        return self.weights[f"{name}.weight"] * (states * scale)

    def _projected(self, name: str, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value: rows, heads, width, head size."""
        shape = (*states.shape[:2], -1, self.config.head_dim)
        query, key, value = (self._linear(f"{name}.{part}_proj", states).view(shape).transpose(1, 2) for part in "qkv")
        return query, key, value

    def _mlp(self, name: str, states: Tensor) -> Tensor:
        gate = functional.silu(self._linear(f"{name}.gate_proj", states))
        return self._linear(f"{name}.down_proj", gate * self._linear(f"{name}.up_proj", states))


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Rows, width, heads times head size."""
    causal = mask is None and query.shape[2] > 1
    shared = query.shape[1] != key.shape[1]
    mixed = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=shared
    )
    return mixed.transpose(1, 2).flatten(2)


def _mask(given: Tensor | None, start: int, width: int, device: torch.device) -> Tensor | None:
    """What attention takes; None for plain causal attention from the first slot, or for one position that sees all."""
    if given is not None and given.dim() == 4:
        return given
    if (given is None or given.all()) and (start == 0 or width == 1):
        return None
    slots = torch.arange(start + width, device=device)
    causal = slots <= slots[start:, None]
    return causal if given is None else causal & given.bool()[:, None, None]


def rotations(position: Tensor, config: LlamaShape) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary embedding: rows, 1, width, head size."""
    powers = torch.arange(0, config.head_dim, 2, dtype=torch.float) / config.head_dim
    angle = position[..., None].float() * (1.0 / config.rope_theta**powers).to(position.device)
    angle = torch.cat((angle, angle), dim=-1)[:, None]
    return angle.cos(), angle.sin()


def _rotate(states: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotation
    first, second = states.chunk(2, dim=-1)
    return states * cos + torch.cat((-second, first), dim=-1) * sin
