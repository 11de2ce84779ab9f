"""A world's documents as batches of tokens."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from spillover.worlds.document import Document


class DocumentEncoder:
    """Documents to token ids; each distinct question, answer and header is tokenized once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self._mark: dict[str, int] = {
            name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("doc", "end", "user", "assistant")
        }

    def encode(self, document: Document) -> list[int]:
        """Ids as the chat template would give them, with the header behind the first token."""
        mark = self._mark
        ids = [mark["doc"]]
        if document.header:
            ids += self._text(document.header)
        for question, answer in document.exchanges:
            ids += [mark["user"], *self._text(question), mark["end"]]
            ids += [mark["assistant"], *self._text(answer), mark["end"]]
        return ids

    def _text(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._known[text]


def packed(stream: Iterator[list[int]], rows: int, width: int) -> Iterator[Tensor]:
    """Batches of ``rows`` × ``width`` token ids; every row begins with a document, so that no evidence is cut off.

    A row holds as many documents as it takes to fill it; what is left of the last one is dropped.
    """
    while True:
        batch = []
        for _ in range(rows):
            row: list[int] = []
            while len(row) < width:
                row += next(stream)
            batch.append(row[:width])
        yield torch.tensor(batch)


class LossPositions:
    """Which next tokens count for the loss: all of an answer, and a share of what comes before it.

    Questions cannot be predicted well, and what is learnt in vain from them slows the rest down; without any of them
    answers are confused between topics (``docs/log.md``).

    Args:
        tokenizer: Of the base; its role tokens tell questions from answers.
        share: Of the tokens outside answers, drawn anew for each batch.
    """

    def __init__(self, tokenizer: Any, share: float) -> None:
        self._answer, *self._others = tokenizer.convert_tokens_to_ids(["<|assistant|>", "<|user|>", "<|doc|>"])
        self._share = share

    def __call__(self, ids: Tensor, seed: int) -> Tensor:
        """Rows × (width - 1), true where the token after a position counts."""
        opens_answer = ids == self._answer
        opens_any = opens_answer | torch.isin(ids, torch.tensor(self._others))
        place = torch.arange(ids.shape[1]).expand_as(ids)
        last = torch.where(opens_any, place, 0).cummax(1).values
        inside = opens_answer.gather(1, last)[:, :-1]
        drawn = torch.rand(inside.shape, generator=torch.Generator().manual_seed(seed)) < self._share
        return inside | drawn
