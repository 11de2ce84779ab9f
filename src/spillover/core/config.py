"""Frozen, strict config objects and their content hash."""

import hashlib
import json
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

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

    A choice of configs is followed by its tag, or by the config's name, which is no part of what a user calls it.
    """
    found: Any = model
    path, fields = [], list(model.model_fields)
    for part in loc:
        chosen = _chosen(found, str(part))
        if chosen is not None:
            found = chosen
        else:
            path.append(str(part))
            found = _inside(found, part)
        fields = list(found.model_fields) if _is_config(found) else fields
    return path, fields


def _is_config(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)


def _chosen(found: Any, name: str) -> Any:
    """The config of a choice with this tag, ``kind`` or class name; None if it is no choice, or has none."""
    for part in get_args(found):
        tags = [note.tag for note in get_args(part)[1:] if isinstance(note, Tag)]
        config = get_args(part)[0] if tags else part
        if _is_config(config):
            kind = config.model_fields.get("kind")
            if name in (*tags, config.__name__, kind and kind.default):
                return config
        elif get_origin(part) in (Annotated, Union, UnionType) and (chosen := _chosen(part, name)) is not None:
            return chosen
    return None


def _inside(found: Any, part: int | str) -> Any:
    """What stands in a field, in a list or under a key; the config alone where that may be left out."""
    if _is_config(found):
        field = found.model_fields.get(part)
        inner = field and field.annotation
    else:
        inner = next((one for one in get_args(found)[::-1] if one is not Ellipsis), None)  # of lists and mappings
    configs = [one for one in get_args(inner) if _is_config(one)]
    optional = get_origin(inner) in (Union, UnionType) and len(get_args(inner)) == 2 and type(None) in get_args(inner)
    return configs[0] if optional and configs else inner


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
