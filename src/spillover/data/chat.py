"""Chat rows: JSONL with ``messages``, as every published set of this field has it, checked line by line."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError, StorageError, nearest
from spillover.data.files import read_text

ROLES = ("system", "user", "assistant")


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
    """Fields beside ``messages`` in the file, kept as they were."""


def read_chat(path: str | Path) -> list[ChatRow]:
    """Read a chat JSONL file.

    Raises:
        DataError: With ``file:line: field: what was found``, for the first row that cannot be used.
    """
    path = Path(path)
    text = read_text(path)
    rows = [_row(path, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not rows:
        raise DataError.at(path, None, None, "the file is empty; expected one JSON object with 'messages' a line")
    return rows


def write_chat(rows: Iterable[ChatRow], path: Path) -> None:
    """Write rows as JSONL, whole or not at all.

    Raises:
        StorageError: The folder cannot be written to.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            for row in rows:
                messages = [{"role": message.role, "content": message.content} for message in row.messages]
                file.write(json.dumps({"messages": messages, **row.meta}, ensure_ascii=False) + "\n")
        os.replace(partial, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot write ({error.strerror})") from None


def _row(path: Path, number: int, line: str) -> ChatRow:
    def fail(field: str | None, what: str) -> DataError:
        return DataError.at(path, number, field, what)

    try:
        raw = json.loads(line)
    except json.JSONDecodeError as error:
        raise fail(None, f"not JSON ({error.msg} at column {error.colno})") from None
    if not isinstance(raw, dict):
        raise fail(None, f"expected an object, found {_kind(raw)}")
    if "messages" not in raw:
        raise fail("messages", f"missing{nearest('messages', raw)}")
    turns = raw["messages"]
    if not isinstance(turns, list) or not turns:
        raise fail("messages", f"expected a non-empty list, found {_kind(turns)}")
    messages = tuple(_message(fail, f"messages[{i}]", turn) for i, turn in enumerate(turns))
    roles = [message.role for message in messages]
    start = 1 if roles[0] == "system" else 0
    for i, role in enumerate(roles[start:], start):
        expected = "user" if (i - start) % 2 == 0 else "assistant"
        if role != expected:
            raise fail(f"messages[{i}].role", f"expected '{expected}' here, found '{role}'")
    if roles[-1] != "assistant":
        raise fail("messages", f"the last turn must be the assistant's, found '{roles[-1]}'")
    return ChatRow(messages, {key: value for key, value in raw.items() if key != "messages"})


def _message(fail: Any, where: str, turn: Any) -> Message:
    if not isinstance(turn, dict):
        raise fail(where, f"expected an object with 'role' and 'content', found {_kind(turn)}")
    role, content = turn.get("role"), turn.get("content")
    if role not in ROLES:
        raise fail(f"{where}.role", f"unknown role {role!r}{nearest(str(role), ROLES)}")
    if not isinstance(content, str):
        raise fail(f"{where}.content", f"expected text, found {_kind(content)}")
    if not content.strip():
        raise fail(f"{where}.content", f"the {role} turn is empty")
    return Message(role, content)


def _kind(value: Any) -> str:
    if value == [] or value == {}:
        return "an empty " + ("list" if isinstance(value, list) else "object")
    names = {dict: "an object", list: "a list", str: "text", bool: "true/false", type(None): "null"}
    return names.get(type(value), f"a number ({value})")
