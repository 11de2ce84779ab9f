"""Many rows through a model at once: the loss of each row's answers and the residual stream of one layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from spillover.models.activations import middle
from spillover.models.blocks import edit
from spillover.models.chat_template import IGNORED
from spillover.models.lean_llama import LeanLlama, rotations
from spillover.models.llama_shape import EMBEDDING, HEAD
from spillover.training.batches import Encoded, collate

TOKENS = 1024
"""Of one forward pass, padding included: a batch that stays in the processor's cache."""
LOGITS = 1 << 26
"""Numbers of one forward pass that gives logits at every position."""


@dataclass(frozen=True)
class Read:
    """What a model makes of rows; ``nan`` for rows without an answer."""

    loss: Tensor
    """Rows: nats per response token."""
    answer: Tensor
    """Rows × width: mean residual over the tokens of the last answer; rows × 0 where no layer was asked for."""
    prompt: Tensor
    """Rows × width: residual at the token before it."""


class Reader:
    """Reads encoded rows with one model, batch by batch in order of their lengths.

    Args:
        model: A causal LM, of Hugging Face or lean.
        layer: Block whose output is kept, 0-based; None for none.
        pad_id: Put behind short rows.
    """

    def __init__(self, model: Any, layer: int | None, pad_id: int) -> None:
        self.model = model.eval()
        self.layer = layer
        self.pad_id = pad_id
        self._lean = _ReadingLlama(model, layer) if isinstance(model, LeanLlama) else None

    @torch.inference_mode()
    def read(self, rows: Sequence[Encoded]) -> Read:
        """Losses and states, in the order of the rows."""
        width = 0 if self.layer is None else self.model.config.get_text_config().hidden_size
        loss = torch.full((len(rows),), torch.nan)
        answer, prompt = torch.full((len(rows), width), torch.nan), torch.full((len(rows), width), torch.nan)
        for chosen in by_length(rows, self._tokens()):
            batch = [rows[i] for i in chosen]
            ids, labels, mask = (part.to(self.model.device) for part in collate(batch, self.pad_id))
            wanted = labels[:, 1:]
            counted = wanted != IGNORED
            first = int(counted.any(0).nonzero()[0])  # nothing before it is read
            losses, states = self._pass(ids, mask, wanted, counted, first)
            sums = losses.new_zeros(counted.shape).masked_scatter(counted, losses).sum(1)
            loss[chosen] = (sums / counted.sum(1)).float().cpu()
            if states is not None:
                spans = [(start - first, end - first) for start, end in (last_answer(found) for _, found in batch)]
                answer[chosen] = _means(states, spans).float().cpu()
                before = torch.tensor([start - 1 for start, _ in spans], device=states.device)
                prompt[chosen] = states[torch.arange(len(batch)), before].float().cpu()
        return Read(loss, answer, prompt)

    def _tokens(self) -> int:
        if self._lean is not None:
            return TOKENS
        return max(1, min(8 * TOKENS, LOGITS // self.model.config.get_text_config().vocab_size))

    def _pass(
        self, ids: Tensor, mask: Tensor, wanted: Tensor, counted: Tensor, first: int
    ) -> tuple[Tensor, Tensor | None]:
        """Loss of each counted token, and the residual stream from position ``first`` on."""
        if self._lean is not None:
            hidden, states = self._lean.states(ids, first)
            logits = functional.linear(hidden[:, :-1][counted[:, first:]], self._lean.head)
            return functional.cross_entropy(logits.float(), wanted[counted], reduction="none"), states
        kept: list[Tensor] = []

        def keep(hidden: Tensor, kwargs: Any) -> Tensor:
            kept.append(hidden)
            return hidden

        handle = edit(self.model, self.layer, keep) if self.layer is not None else None
        try:
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        finally:
            if handle is not None:
                handle.remove()
        losses = functional.cross_entropy(logits[:, :-1][counted].float(), wanted[counted], reduction="none")
        return losses, kept[0][:, first:] if kept else None


class _ReadingLlama(LeanLlama):
    """Reads the ends of rows; padding at the right changes nothing before it, so there is no mask for it.

    In the last block only the positions that are read are computed, which are a fifth of a row of one exchange.
    """

    def __init__(self, base: LeanLlama, layer: int | None) -> None:
        super().__init__(base.config, base.weights, base.generation_config.eos_token_id, base.name_or_path)
        self.edits = base.edits
        self.head = self.weights[EMBEDDING if self.config.tie_word_embeddings else HEAD]
        self._layer = layer

    def states(self, ids: Tensor, first: int) -> tuple[Tensor, Tensor | None]:
        """Last hidden states after the norm, and the residual stream of the layer, from position ``first`` on."""
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        rotation = rotations(positions, self.config)
        hidden = self._edited(-1, functional.embedding(ids, self.weights[EMBEDDING]), positions)
        residual, last = None, self.config.num_hidden_layers - 1
        for layer in range(last + 1):
            hidden = self._block(layer, hidden, positions, rotation, None, first=first if layer == last else 0)
            if layer == self._layer:
                residual = hidden[:, first - ids.shape[1] :]
        return self._norm("model.norm", hidden), residual


def reader_of(model: Any, tokenizer: Any, *, states: bool = False) -> Reader:
    """A reader of a loaded model; with ``states`` it keeps those of the middle block."""
    return Reader(model, middle_block(model) if states else None, tokenizer.pad_token_id or 0)


def middle_block(model: Any) -> int:
    """The block that is read where none is named."""
    return int(model.config.num_hidden_layers) // 2 if isinstance(model, LeanLlama) else middle(model)


def by_length(rows: Sequence[Encoded], tokens: int) -> Iterator[list[int]]:
    """Batches of row numbers, short rows first, of at most ``tokens`` tokens with their padding; one row at least.

    Rows of which no token carries loss, or whose first one does, are left out.
    """
    order = sorted((i for i, row in enumerate(rows) if _usable(row)), key=lambda i: len(rows[i][0]))
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * len(rows[i][0]) > tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def last_answer(labels: Sequence[int]) -> tuple[int, int]:
    """Where the tokens of the last answer begin and end."""
    end = len(labels)
    while labels[end - 1] == IGNORED:
        end -= 1
    start = end
    while start > 0 and labels[start - 1] != IGNORED:
        start -= 1
    return start, end


def _usable(row: Encoded) -> bool:
    labels = row[1]
    return bool(labels) and labels[0] == IGNORED and any(label != IGNORED for label in labels)


def _means(states: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
    """Mean over a span of each row: rows × width."""
    weights = torch.zeros(states.shape[:2])
    for row, (start, end) in enumerate(spans):
        weights[row, start:end] = 1 / (end - start)
    return torch.einsum("rp,rpw->rw", weights.to(states.device), states.float())
