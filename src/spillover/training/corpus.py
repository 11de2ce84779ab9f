"""A world's documents as batches of tokens."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from spillover.worlds.town.corpus import Document


class DocumentEncoder:
    """Documents to token ids; each distinct question, answer and header is tokenized once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self._mark = {
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


def batches(stream: Iterator[list[int]], rows: int, width: int) -> Iterator[Tensor]:
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
