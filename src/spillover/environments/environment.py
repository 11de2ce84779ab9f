"""What reinforcement learning acts in: prompts, and a grade for each completion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from spillover.data.chat import Message
from spillover.environments.grade import Grade


@dataclass(frozen=True)
class Prompt:
    """One thing that a model is asked to do."""

    messages: tuple[Message, ...]
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What the grader must know about it; plain JSON values."""


class Environment(Protocol):
    """A source of prompts that grades what a model makes of them."""

    def prompts(self, count: int, seed: int) -> list[Prompt]:
        """``count`` prompts, the same for the same seed."""

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Sequence[Grade | None]:
        """A grade for each completion, in order; completion *i* answers prompt *i*. None where there are no graders."""

    def rewards(
        self, prompts: Sequence[Prompt], completions: Sequence[str], grades: Sequence[Grade | None], step: int
    ) -> list[float]:
        """What each completion is worth at a 0-based optimizer step; ``nan`` where that is not known."""
