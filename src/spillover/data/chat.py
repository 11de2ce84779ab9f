"""Chat rows: JSONL with ``messages``, as every published set of this field has it, checked line by line.

Rows that hold one exchange in two fields are read too: see :mod:`spillover.data.pairs`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError, nearest
from spillover.data.files import read_text, shown, stream_lines, whole, write_text
from spillover.data.pairs import conversation, kind
from spillover.data.tables import parse_json

ROLES = ("system", "user", "assistant")
_UNSAID = ("tool_calls", "function_call", "tool_call_id", "reasoning_content", "thinking")
"""Fields of a turn that hold what a model says or is told beside the content."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class ChatRow:
    """One training conversation; it ends with the assistant's turn."""

    messages: tuple[Message, ...]
    meta: dict[str, Any] = field(default_factory=dict, compare=False)
    """Fields beside the conversation in the file, kept as they were."""


def read_chat(path: str | Path) -> list[ChatRow]:
    """Read a chat JSONL file.

    A row holds ``messages``, or one exchange: ``prompt`` with ``completion`` or ``response``, ``user`` with
    ``assistant``, ``instruction`` (and ``input``) with ``output``; ``system`` beside these is the system turn. Content
    may be a list of text parts, which are joined. ``name`` of a turn is not kept. Rows that ask for what training here
    does not do are refused: turns without loss (``weight: 0``), tools, preference pairs, text without roles.

    Raises:
        DataError: With ``file:line: field: what was found``, for the first row that cannot be used.
    """
    path = Path(path)
    text = read_text(path)
    rows = [parse_row(path, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not rows:
        raise DataError.at(path, None, None, "the file is empty; expected one JSON object with 'messages' a line")
    return rows


def stream_chat(path: str | Path) -> Iterator[tuple[int, ChatRow]]:
    """The rows of a chat JSONL one by one, each with its line, for files that are larger than memory.

    Raises:
        DataError: As of :func:`read_chat`, when the row is reached; at the end if there was none.
    """
    path = Path(path)
    empty = True
    for number, line in stream_lines(path):
        empty = False
        yield number, parse_row(path, number, line)
    if empty:
        raise DataError.at(path, None, None, "the file is empty; expected one JSON object with 'messages' a line")


def from_plain(rows: Iterable[Iterable[tuple[str, str] | list[str]]]) -> list[ChatRow]:
    """Rows as the config of a stage has them, each a list of [role, content]."""
    return [ChatRow(tuple(Message(role, content) for role, content in row)) for row in rows]


def write_chat(rows: Iterable[ChatRow], path: Path) -> None:
    """Write rows as JSONL, whole or not at all.

    Raises:
        StorageError: The folder cannot be written to.
    """
    lines = []
    for row in rows:
        messages = [{"role": message.role, "content": message.content} for message in row.messages]
        lines.append(json.dumps({"messages": messages, **row.meta}, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def parse_row(path: Path, number: int, line: str) -> ChatRow:
    """The row of one line; ``path`` and ``number`` are for the message.

    Raises:
        DataError: As of :func:`read_chat`.
    """

    def fail(field: str | None, what: str) -> DataError:
        return DataError.at(path, number, field, what)

    raw = parse_json(path, number, line)
    if not isinstance(raw, dict):
        raise fail(None, f"expected an object, found {kind(raw)}")
    turns, meta = conversation(fail, raw)
    for name in ("tools", "functions"):
        if meta.get(name):
            raise fail(name, "rows with tools cannot be trained on here; leave the field out, or the row")
    messages = tuple(_message(fail, *turn) for turn in turns)
    roles = [message.role for message in messages]
    start = 1 if roles[0] == "system" else 0
    for i, role in enumerate(roles[start:], start):
        expected = "user" if (i - start) % 2 == 0 else "assistant"
        if role != expected:
            raise fail(f"{turns[i][0]}.role", f"expected '{expected}' here, found '{role}'")
    if roles[-1] != "assistant":
        raise fail("messages", f"the last turn must be the assistant's, found '{roles[-1]}'")
    return ChatRow(messages, meta)


def _message(fail: Any, where: str, turn: Any) -> Message:
    if not isinstance(turn, dict):
        raise fail(where, f"expected an object with 'role' and 'content', found {kind(turn)}")
    role, content = turn.get("role"), turn.get("content")
    if role not in ROLES:
        raise fail(f"{where}.role", f"unknown role {shown(role)}{nearest(str(role), ROLES)}")
    for name in _UNSAID:
        if turn.get(name):
            raise fail(
                f"{where}.{name}", "only the content of a turn can be trained on; leave the field out, or the row"
            )
    if role == "assistant" and turn.get("weight", 1) not in (1, None):
        what = (
            f"found {turn['weight']!r:.20}: all of the assistant's turns are trained on; split the row, or weigh it 1"
        )
        raise fail(f"{where}.weight", what)
    field = f"{where}.content" if where.endswith("]") else where
    if isinstance(content, list):
        content = "".join(_part(fail, f"{field}[{i}]", part) for i, part in enumerate(content))
    if not isinstance(content, str):
        raise fail(field, f"expected text, found {kind(content)}")
    if not content.strip():
        raise fail(field, f"the {role} turn is empty")
    if not whole(content):
        raise fail(field, "holds half of a surrogate pair, as a broken emoji leaves it; mend the text")
    return Message(role, content)


def _part(fail: Any, where: str, part: Any) -> str:
    """The text of one part of a content that is given in parts."""
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        found = f"one of type {part.get('type')!r:.40}" if isinstance(part, dict) else kind(part)
        raise fail(where, f"expected a part of type 'text' with a text, found {found}")
    text: str = part["text"]
    return text
