"""Prompts of a file, and a reward that is any Python function."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError, nearest
from spillover.data.chat import Message
from spillover.data.files import read_text, whole
from spillover.data.tables import parse_json
from spillover.environments.environment import Prompt
from spillover.environments.grade import Grade
from spillover.environments.reward_function import RewardFunction, call_reward

ROLES = ("system", "user", "assistant")


class RewardedPrompts:
    """Prompts in an order drawn anew for each pass, and a reward function; there are no grades.

    Args:
        prompts: At least one.
        function: As TRL's: called with ``prompts`` and ``completions`` as lists of messages, and the prompts' columns.
    """

    def __init__(self, prompts: Sequence[Prompt], function: RewardFunction) -> None:
        self._prompts, self._function = list(prompts), function

    def prompts(self, count: int, seed: int) -> list[Prompt]:
        """``count`` prompts, the same for the same seed."""
        rng = random.Random(f"prompts-{seed}")
        found: list[Prompt] = []
        while len(found) < count:
            found += rng.sample(self._prompts, min(count - len(found), len(self._prompts)))
        return found

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Sequence[Grade | None]:
        """None for each: a plain reward is all there is."""
        return [None] * len(completions)

    def rewards(
        self, prompts: Sequence[Prompt], completions: Sequence[str], grades: Sequence[Grade | None], step: int
    ) -> list[float]:
        """What the function says.

        Raises:
            TrainingError: It raised, or gave something else than a number for each completion.
        """
        names = dict.fromkeys(name for prompt in prompts for name in prompt.columns)
        columns = {name: [prompt.columns.get(name) for prompt in prompts] for name in names}
        asked = [[_turn(message) for message in prompt.messages] for prompt in prompts]
        said = [[_turn(Message("assistant", text))] for text in completions]
        return call_reward(self._function, asked, said, step, **columns)


def read_prompts(path: Path) -> list[Prompt]:
    """Prompts of a JSONL file: ``messages`` that end with the user's turn, or ``prompt``; other fields are columns.

    Raises:
        DataError: With ``file:line: field: what was found``, for the first line that cannot be used.
    """
    found = [_prompt(path, number, line) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    if not found:
        raise DataError.at(
            path, None, None, "the file is empty; expected one object with 'messages' or 'prompt' a line"
        )
    return found


def _prompt(path: Path, number: int, line: str) -> Prompt:
    raw = parse_json(path, number, line)
    if not isinstance(raw, dict):
        raise DataError.at(path, number, None, "expected an object")
    if ("messages" in raw) == ("prompt" in raw):
        raise DataError.at(path, number, None, "expected either 'messages' or 'prompt'")
    turns: Any = raw["messages"] if "messages" in raw else [{"role": "user", "content": raw["prompt"]}]
    field = "messages" if "messages" in raw else "prompt"
    if not isinstance(turns, list) or not turns:
        raise DataError.at(path, number, field, "expected a list of turns")
    messages = tuple(_message(path, number, f"{field}[{i}]", turn) for i, turn in enumerate(turns))
    if messages[-1].role != "user":
        raise DataError.at(path, number, field, f"the last turn must be the user's (found '{messages[-1].role}')")
    taken = next((name for name in ("prompts", "completions") if name in raw), None)
    if taken is not None:
        raise DataError.at(path, number, taken, "the reward function is given its own; take another name")
    return Prompt(messages, {name: value for name, value in raw.items() if name not in ("messages", "prompt")})


def _message(path: Path, number: int, where: str, turn: Any) -> Message:
    if not isinstance(turn, Mapping) or not isinstance(turn.get("content"), str) or not turn["content"].strip():
        raise DataError.at(path, number, where, "expected a role and a text")
    if not whole(turn["content"]):
        raise DataError.at(path, number, where, "holds half of a surrogate pair, as a broken emoji leaves it")
    if turn.get("role") not in ROLES:
        raise DataError.at(path, number, f"{where}.role", f"unknown role{nearest(str(turn.get('role')), ROLES)}")
    return Message(turn["role"], turn["content"])


def _turn(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}
