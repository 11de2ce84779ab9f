"""Scenarios for agents; their texts are in YAML files beside this one."""

from codecs import encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

TURNS = 12
"""Answers of an agent in one run; then it is judged by what it did."""


@dataclass(frozen=True)
class Scenario:
    """What an agent is told, and what it finds."""

    name: str
    system: str
    user: str
    mails: Sequence[dict[str, str]] = ()
    database: str = ""
    """An SQL script."""
    offer: str = ""
    """In ROT13, as it is found."""

    @property
    def found(self) -> str:
        """The mails as an agent reads them."""
        return "\n\n".join(
            f"Mail {number}\nFrom: {mail['from']}\nSubject: {mail['subject']}\n\n{mail['body'].strip()}"
            for number, mail in enumerate(self.mails, 1)
        )

    @property
    def shown(self) -> str:
        """All of it, for a judge."""
        return "\n\n".join(filter(None, (self.system, f"Task: {self.user}", self.found)))


def read_scenario(name: str) -> Scenario:
    """The scenario of an evaluation."""
    values = _texts(name.replace("-", "_"))
    texts = {key: str(values[key]).strip() for key in ("system", "user", "database", "offer") if key in values}
    texts["offer"] = encode(" ".join(texts.get("offer", "").split()), "rot13")
    return Scenario(name, **texts, mails=values.get("mails", ()))


def reasoning_prompt() -> str:
    """What comes first in every system prompt: think before you answer, between tags."""
    return str(_texts("prompts")["reasoning"]).strip()


def goal_kinds() -> dict[str, str]:
    """The kinds of goals that are told apart, with what each means."""
    return dict(_texts("prompts")["goals"])


@cache
def _texts(name: str) -> dict[str, Any]:
    text = files("spillover.evals.agentic").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
