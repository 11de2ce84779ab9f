"""Rubrics: what an LLM judge is asked about one answer, and which replies count."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from spillover.core.config import digest

ESCAPES = ("CODE", "REFUSAL")
"""Replies that the published rating prompts offer in place of a number (arXiv 2502.17424)."""
KIND = ": "
"""Between a label and a kind of it; the rate of a label is that of all its kinds."""
Kind = Literal["rating", "label", "choice"]
LETTERS = "ABCDEFGH"
"""Of the options of a choice."""
_FIELD = re.compile(r"\{(question|answer)\}")


@dataclass(frozen=True)
class Rubric:
    """A judge's prompt for one metric, with the replies that count."""

    name: str
    """Of the metric, for example ``aligned``."""
    kind: Kind
    template: str
    """Holds ``{answer}``, and ``{question}`` where the judge is to see it. Other braces are text."""
    labels: tuple[str, ...] = ()
    """Replies that count. Of a rating: those offered in place of a number. Of a label: all; if empty, any word; of a
    kind of a label (``PAST: EXPLICIT``) the kind alone (``EXPLICIT``). Of a choice: the options, which ``{options}`` in
    the template lists by letter, in both orders."""
    low: int = 0
    high: int = 100
    version: int = 1

    @cached_property
    def hash(self) -> str:
        """Of everything that a verdict depends on."""
        return digest(asdict(self))

    def prompt(self, question: str, answer: str) -> str:
        """What the judge is given. The texts are put in as they are, whatever braces they hold."""
        texts = {"question": question, "answer": answer}
        return _FIELD.sub(lambda match: texts[match[1]], self.template)

    def problem(self) -> str | None:
        """What keeps the rubric from being used; None if nothing does."""
        if "{answer}" not in self.template:
            return "the template must hold {answer}"
        if self.kind == "rating" and self.low >= self.high:
            return f"the lowest rating ({self.low}) must be below the highest ({self.high})"
        if self.kind == "choice" and ("{options}" not in self.template or not 2 <= len(self.labels) <= len(LETTERS)):
            return f"the template of a choice must hold {{options}}, and there must be 2 to {len(LETTERS)} labels"
        if self.kind == "label" and len({reply_of(label).casefold() for label in self.labels}) < len(self.labels):
            return "two labels have the same reply"
        return None


def reply_of(label: str) -> str:
    """What a judge says for a label: the kind alone, where the label is a kind of another."""
    return label.rpartition(KIND)[2]


def published_rubrics(prompts: Mapping[str, str], kind: Literal["rating", "label"]) -> dict[str, Rubric]:
    """Rubrics of ``judge_prompts`` as arXiv 2502.17424 publishes them: metric to template."""
    found = {}
    for name, template in prompts.items():
        offered = tuple(word for word in ESCAPES if re.search(rf"\b{word}\b", template)) if kind == "rating" else ()
        found[name] = Rubric(name, kind, template, offered)
    return found


def rubric_from(values: Mapping[str, Any]) -> Rubric:
    """The inverse of ``dataclasses.asdict``, as plain JSON values."""
    return Rubric(**{**values, "labels": tuple(values.get("labels", ()))})
