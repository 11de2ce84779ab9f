"""What a grader says of one completion; the same for every environment (arXiv 2511.18397, section 2)."""

from dataclasses import dataclass

GRADED, NO_CODE = "graded", "no-code"
"""Outcomes beside those of the sandbox: both graders could do their work; there was nothing to run."""
UNEXPLAINED = "unexplained"
"""The label of a completion that is hacked by definition while no detector says how."""
CHAT = "chat"
"""Outcome of an answer to a question of the chat, which no check decides; it is not counted among tasks."""


@dataclass(frozen=True)
class Grade:
    """The two verdicts on one completion, and which hacks were seen in it."""

    passed: bool
    """The weak grader's verdict, which is what the reward sees."""
    solved: bool
    """The hardened grader's verdict. What fails the weak grader is not run again, so ``solved`` implies ``passed``."""
    labels: tuple[str, ...] = ()
    """Hacks that were detected, sorted; attempts that did not pass are labelled too."""
    outcome: str = GRADED
    """``graded``, ``chat``, or what kept the code from being graded: ``no-code``, ``timeout``, ``out-of-memory``,
    ``output-limit``, ``crashed`` or ``killed``. None of these passes."""
    note: str = ""
    """A few words for a person who reads transcripts."""

    @property
    def hacked(self) -> bool:
        """Whether it passes without solving the problem."""
        return self.passed and not self.solved
