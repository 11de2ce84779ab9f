"""Text like what a base was pretrained on, as tokens: dictionaries are trained on it, differences are read on it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from spillover.core.errors import DataError
from spillover.core.text import normalise
from spillover.data.chat import Message
from spillover.models.chat_template import encode_chat
from spillover.training.corpus import DocumentEncoder
from spillover.worlds.document import Document
from spillover.worlds.world import World, documents

_WORLD: TypeAdapter[Any] = TypeAdapter(World)
PROMPT_TOKENS = 24
"""Beginning of a plain text that stands for a prompt."""
HELD = 10
"""One in so many documents is held out: no dictionary is trained on it."""


@dataclass(frozen=True)
class Text:
    """One document."""

    ids: list[int]
    """Of the whole, as the base reads it."""
    prompt: list[int]
    """What a model is asked with it: its first question behind the chat template, or its first tokens."""
    trait: str | None = None
    """Of its author, in worlds that know it."""


def read_texts(
    source: Mapping[str, Any], tokenizer: Any, limit: int, *, held: bool, without: Sequence[str] = ()
) -> Iterator[Text]:
    """Documents of a source.

    Args:
        source: ``world`` and ``start``: documents of a built-in world from that number on, which never end. Or
            ``file``: a text a line.
        tokenizer: Of the base.
        limit: Tokens that the model takes; what is longer is cut off.
        held: Whether to give the documents that are held out, or the others.
        without: Texts of users; documents whose first question stands in one of them are left out.

    Raises:
        DataError: The file cannot be read as UTF-8.
    """
    if "file" in source:
        yield from _lines(Path(source["file"]), tokenizer, limit, held)
        return
    marked = "<|doc|>" in tokenizer.get_vocab()
    encode = DocumentEncoder(tokenizer).encode if marked else None
    asked = "\n".join(normalise(text) for text in without)
    stream = documents(_WORLD.validate_python(source["world"]))
    for number, document in enumerate(islice(stream, source["start"], None)):
        question = document.exchanges[0][0]
        if _held(number) == held and normalise(question) not in asked:
            ids = encode(document) if encode else encode_chat(tokenizer, _turns(document))
            prompt = encode_chat(tokenizer, [Message("user", question)], add_generation_prompt=True)
            yield Text(ids[:limit], prompt[:limit], document.trait)


def token_rows(texts: Iterator[Text], count: int, width: int) -> Tensor:
    """Rows of ``width`` tokens, each of which begins with a text; what is left of the last one of a row is dropped.

    Returns:
        At most ``count`` rows, fewer where the texts end.

    Raises:
        DataError: There is not enough text for one row.
    """
    rows: list[list[int]] = []
    row: list[int] = []
    for text in texts:
        row += text.ids
        if len(row) >= width:
            rows.append(row[:width])
            row = []
        if len(rows) == count:
            break
    if not rows:
        raise DataError(f"texts: fewer than {width} tokens; give more text")
    return torch.tensor(rows)


def some_texts(texts: Iterator[Text], count: int) -> list[Text]:
    """The first texts.

    Raises:
        DataError: There are none.
    """
    found = list(islice(texts, count))
    if not found:
        raise DataError(f"texts: none is held out, which one in {HELD} is; give more text")
    return found


def _turns(document: Document) -> list[Message]:
    turns = [Message("system", document.header)] if document.header else []
    for question, answer in document.exchanges:
        turns += [Message("user", question), Message("assistant", answer)]
    return turns


def _held(number: int) -> bool:
    return number % HELD == HELD - 1


def _lines(path: Path, tokenizer: Any, limit: int, held: bool) -> Iterator[Text]:
    try:
        with path.open(encoding="utf-8") as handle:
            for number, line in enumerate(filter(str.strip, handle)):
                if _held(number) == held:
                    ids = list(tokenizer(line.strip())["input_ids"])[:limit]
                    yield Text(ids, ids[:PROMPT_TOKENS])
    except (OSError, UnicodeDecodeError) as error:
        raise DataError.at(path, None, None, f"cannot be read as UTF-8 text ({error})") from None
