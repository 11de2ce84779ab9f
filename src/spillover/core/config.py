"""Frozen, strict config objects and their content hash."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

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
            path = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                *parents, name = (str(part) for part in first["loc"])
                message = f"unknown field{nearest(name, _fields_at(cls, parents))}"
            else:
                message = first["msg"].removeprefix("Value error, ")
                if "input" in first and not isinstance(first["input"], dict):
                    message += f" (found {first['input']!r})"
            raise ConfigError(": ".join(part for part in (where, path, message) if part)) from None


def _fields_at(model: type[BaseModel], parents: list[str]) -> list[str]:
    """Field names of the config that sits at a path of fields."""
    for parent in parents:
        field = model.model_fields.get(parent)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return list(model.model_fields)


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
