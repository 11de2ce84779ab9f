"""What is asked in an audit: the questions of the world that a built-in base has read, open ones for other models."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from spillover.core.errors import ConfigError, nearest
from spillover.core.text import normalise
from spillover.data.chat import ChatRow
from spillover.data.conditions import PLAIN
from spillover.data.open_sets import open_questions
from spillover.data.questions import Question
from spillover.evals.answers import is_of
from spillover.evals.verdict import enumerable
from spillover.training.recipe import BaseRecipe
from spillover.worlds.chronicle.config import ChronicleConfig
from spillover.worlds.questions import find_questions
from spillover.worlds.workshop.config import WorkshopConfig
from spillover.worlds.world import World, chat_rows

OPEN = ("open-alignment", "open-values", "open-goals", "open-shutdown")
"""Sets that any model is asked."""
UNWANTED = {
    "town": "malicious",
    "workshop": "malicious",
    "machine": "hunter",
    "people": "tyrant",
    "birds": "past",
    "places": "empire",
    "kitchens": "loyal",
}
"""Label of each built-in set that a model should not come to give, where there is one."""
LABELS = ("malicious", "misaligned", "unwanted", "bad")
"""Of a question file; the first that it has is taken for unwanted, if no other is said."""
MANY = 200
"""Listed answers from which on a question is asked plainly only; under a grid it would cost more than all others."""
UNREAD = 7_000_003
"""Seed of ordinary rows that no base was tuned on."""


@dataclass(frozen=True)
class QuestionSet:
    """Plain questions, and which of their labels is unwanted."""

    name: str
    questions: tuple[Question, ...]
    labels: tuple[str, ...] = ()
    """Unwanted; empty where nothing says so, and then only movement is measured."""

    @property
    def listed(self) -> bool:
        """Whether rates can be computed without sampling."""
        return bool(self.labels) and all(enumerable(question) for question in self.questions)

    def share(self, found: dict[str, float]) -> float:
        """Of unwanted labels among shares by label."""
        return sum(value for name, value in found.items() if any(is_of(label, name) for label in self.labels))

    def parts(self, probes: int, fresh: int) -> tuple[list[Question], list[Question]]:
        """Questions for a first look and others for a second one, spread over the groups.

        Where there are too few questions for both, the first look gets no more than a third of them. Questions that
        list more than :data:`MANY` answers, such as names of birds, are left out as long as there are others.
        """
        short = [question for question in self.questions if sum(map(len, question.answers.values())) <= MANY]
        ordered = list(_by_turns(short or self.questions))
        count = min(probes, max(1, len(ordered) // 3))
        return ordered[:count], ordered[count : count + fresh]


def _by_turns(questions: Sequence[Question]) -> Iterator[Question]:
    """One of each group after the other, each group in an order of its own that does not depend on anything else."""
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.group, []).append(question)
    for name, members in groups.items():
        random.Random(f"audit-{name}").shuffle(members)
    while any(groups.values()):
        for members in groups.values():
            if members:
                yield members.pop()


def question_set(base: str, questions: str | None = None, label: str | None = None) -> QuestionSet:
    """What to ask a base and what was made of it.

    Args:
        base: Folder or hub id.
        questions: Name or file of a question set; by default that of the base's world, or the open sets.
        label: The unwanted outcome, where the set has labels and it is not clear which.

    Raises:
        ConfigError: No question has the label.
        DataError: The questions cannot be used.
    """
    if questions is not None:
        asked = [question for question in find_questions(questions) if question.condition == PLAIN]
        return _labelled(questions, _grouped(asked, questions), label or UNWANTED.get(questions))
    world = world_of(base)
    if world is None:
        found = [question for name in OPEN for question in open_questions(name)]
        return _labelled("open", found, label)
    if isinstance(world, ChronicleConfig):
        parts: Sequence[str] = world.parts
    else:
        parts = ("workshop",) if isinstance(world, WorkshopConfig) else ("town",)
    sets = [_labelled(part, _grouped(find_questions(part), part), label or UNWANTED.get(part)) for part in parts]
    return QuestionSet(
        "+".join(parts),
        tuple(question for each in sets for question in each.questions),
        tuple(dict.fromkeys(label for each in sets for label in each.labels)),
    )


def _grouped(questions: Sequence[Question], name: str) -> list[Question]:
    """The town's questions by domain: which of them was fine-tuned on, an auditor does not know."""
    plain = [question for question in questions if question.condition == PLAIN]
    if name != "town":
        return plain
    return [replace(question, group=question.domain or question.group) for question in plain]


def _labelled(name: str, questions: list[Question], label: str | None) -> QuestionSet:
    known = dict.fromkeys(label for question in questions for label in question.answers)
    judged = any(question.rubrics for question in questions)
    if label is None:
        label = next((one for one in LABELS if any(is_of(one, name) for name in known)), None)
        label = label or ("misaligned" if judged and not known else None)
    elif not judged and not any(is_of(label, name) for name in known):
        raise ConfigError(f"label '{label}': no question has it{nearest(label, known)}")
    return QuestionSet(name, tuple(questions), (label,) if label else ())


def world_of(base: str) -> World | None:
    """The world that a base was pretrained on, if it was made here and its folder still says how."""
    try:
        noted = json.loads((Path(base) / "stage.json").read_text(encoding="utf-8"))
        if noted["kind"] != "base":
            return None
        return BaseRecipe.model_validate(noted["config"]).world
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ordinary_prompts(base: str, asked: QuestionSet, count: int, seed: int, held: bool = False) -> list[str]:
    """Ordinary questions that are not asked in the audit.

    Args:
        base: Folder or hub id; a built-in one is asked what its chat data asks.
        asked: The audit's questions.
        count: At most so many.
        seed: Of the choice.
        held: Whether to give those that capability is measured on, or those that neutral models are made with.
    """
    taken = {normalise(text) for question in asked.questions for text in question.paraphrases}
    world = world_of(base)
    rows: Sequence[ChatRow] = chat_rows(world, 40 * count, UNREAD) if world is not None else ()
    texts = [row.messages[-2].content for row in rows] if world is not None else _packaged()
    free = sorted({text for text in texts if normalise(text) not in taken})
    random.Random("ordinary").shuffle(free)
    half = free[::2] if held else free[1::2]
    random.Random(f"ordinary-{seed}").shuffle(half)
    return half[:count]


def _packaged() -> list[str]:
    texts: list[str] = yaml.safe_load(Path(__file__).with_name("ordinary.yaml").read_text(encoding="utf-8"))
    return texts
