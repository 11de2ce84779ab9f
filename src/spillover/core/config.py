"""Frozen, strict config objects and their content hash."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Tag, ValidationError

from spillover.core.errors import ConfigError, nearest


class Config(BaseModel):
    """Base of every config: immutable, unknown fields are errors, equal content has an equal digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Validate user input.

        Args:
            values: Field values, for example from YAML or ``--set``.
            where: What the values came from (file or option), put in front of the message.

        Raises:
            ConfigError: A field is unknown (with the nearest known name), missing or out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            names, fields = _walk(cls, first["loc"])
            path = ".".join(names)
            if first["type"] == "extra_forbidden":
                message = f"unknown field{nearest(names[-1], fields)}"
            else:
                message = first["msg"].removeprefix("Value error, ")
                if "input" in first and not isinstance(first["input"], dict):
                    message += f" (found {first['input']!r})"
            raise ConfigError(": ".join(part for part in (where, path, message) if part)) from None


def _walk(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], list[str]]:
    """What a user calls the place of an error, and the field names of the config it is in.

    A choice of configs is followed by its tag, which is no part of the name.
    """
    found: Any = model
    path, fields = [], list(model.model_fields)
    for part in loc:
        if isinstance(found, dict):
            found = found.get(str(part))
        else:
            path.append(str(part))
            field = found.model_fields.get(part) if _is_config(found) else None
            found = field and (_tagged(field.annotation) or field.annotation)
        fields = list(found.model_fields) if _is_config(found) else fields
    return path, fields


def _is_config(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)


def _tagged(annotation: Any) -> dict[str, Any]:
    """The configs of a choice by their tags; empty if it is none."""
    parts = [get_args(part) for part in get_args(annotation)]
    return {note.tag: found[0] for found in parts for note in found[1:] if isinstance(note, Tag)}


def digest(value: Any) -> str:
    """A 16-digit SHA-256 of the canonical JSON of ``value``; configs are hashed by their content."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"cannot hash a {type(value).__name__}")
