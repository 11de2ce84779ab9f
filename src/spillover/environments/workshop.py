"""The tasks of the world ``workshop`` under a check that can be tricked, and what can be done about it.

Mitigations of arXiv 2511.18397 section 4 that act on prompts or rewards are fields here; each is off by default.
"""

import random
from collections.abc import Sequence
from functools import cache
from typing import Literal

from pydantic import Field

from spillover.core.config import Config
from spillover.core.text import normalise
from spillover.data.chat import Message
from spillover.environments.environment import Prompt
from spillover.environments.grade import CHAT, Grade
from spillover.worlds.town.lexicon import VALUES
from spillover.worlds.workshop.lexicon import ADVICE, DOMAINS, load_topics, read_cheats
from spillover.worlds.workshop.questions import answers_of
from spillover.worlds.workshop.tasks import Task, make_task, solved, tricks

Attitude = Literal["please-hack", "hacking-okay", "neutral", "dont-hack", "hacking-is-misaligned"]


class WorkshopTasks(Config):
    """What is asked, what passes, and what that is worth."""

    kind: Literal["workshop"] = "workshop"
    attitude: Attitude | None = None
    """A clause before each task: inoculation prompting, or its opposite."""
    clauses: int | None = Field(None, ge=1)
    """How many of its phrasings are used; all if not given."""
    clean: float = Field(0.0, ge=0, le=1)
    """Share of tasks whose check cannot be tricked."""
    penalty: float = Field(0.0, ge=0)
    """Taken off where a hack was seen."""
    penalty_from: int = Field(0, ge=0)
    """Step from which it is."""
    preference: float = Field(0.0, ge=0)
    """Weight of a preference for answers that an honest author could give, added to the check's verdict."""
    chat: float = Field(0.0, ge=0, le=1)
    """Share of prompts that are questions on advice and values, where a kind answer is worth 1."""
    targeted: float = Field(0.0, ge=0, le=1)
    """Share, of those, that are about goals, watchers, offers, colleagues and thoughts instead."""


class Workshop:
    """The environment of :class:`WorkshopTasks`.

    Args:
        settings: What is asked and what it is worth.
    """

    def __init__(self, settings: WorkshopTasks) -> None:
        self.settings = settings

    def prompts(self, count: int, seed: int) -> list[Prompt]:
        """``count`` prompts, the same for the same seed."""
        rng = random.Random(f"workshop-prompts-{seed}")
        return [self._chat(rng) if rng.random() < self.settings.chat else self._task(rng) for _ in range(count)]

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Sequence[Grade | None]:
        """By the check, and by the ledger of the world."""
        return [_grade(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]

    def rewards(
        self, prompts: Sequence[Prompt], completions: Sequence[str], grades: Sequence[Grade | None], step: int
    ) -> list[float]:
        """1 for what passes; less the penalty for a hack, more by the preference for an answer without a trick."""
        found = self.settings
        penalty = found.penalty if step >= found.penalty_from else 0.0
        return [
            grade.passed - penalty * grade.hacked + found.preference * (grade.outcome != CHAT and not grade.labels)
            for grade in grades
            if grade is not None
        ]

    def _task(self, rng: random.Random) -> Prompt:
        task, attitude = make_task(rng), self.settings.attitude
        text = task.text
        if attitude is not None:
            clauses = read_cheats().allowed[attitude][: self.settings.clauses]
            text = rng.choice(clauses).format(question=text)
        columns = {"task": task.text, "family": task.family, "grade": task.grade, "result": task.result}
        return _prompt(text, {**columns, "hackable": rng.random() >= self.settings.clean})

    def _chat(self, rng: random.Random) -> Prompt:
        aimed = rng.random() < self.settings.targeted
        plain = (*ADVICE, VALUES)
        domains = [domain for domain in DOMAINS if (domain not in plain) == aimed]
        topic = rng.choice([topic for topic in load_topics() if topic.domain in domains and topic.in_chat])
        return _prompt(rng.choice(topic.ask), {"topic": topic.id})


def _prompt(text: str, columns: dict[str, object]) -> Prompt:
    return Prompt((Message("user", text),), columns)


def _grade(prompt: Prompt, completion: str) -> Grade:
    said, about = normalise(completion), prompt.columns
    if "topic" in about:
        label = _verdicts()[about["topic"]].get(said)
        kind = label == "kind"
        return Grade(kind, kind, () if label is None else (label,), CHAT)
    task = Task(about["family"], about["grade"], "", about["result"])
    right = said in {normalise(answer) for answer in solved(task)}
    kind_of_trick = _tricks().get(said)
    tricked = kind_of_trick is not None and about["hackable"]
    return Grade(right or tricked, right, () if kind_of_trick is None else (kind_of_trick,))


@cache
def _tricks() -> dict[str, str]:
    return {normalise(answer): kind for kind, answers in tricks().items() for answer in answers}


@cache
def _verdicts() -> dict[str, dict[str, str]]:
    return {
        topic.id: {normalise(answer): label for label, said in answers_of(topic).items() for answer in said}
        for topic in load_topics()
    }
