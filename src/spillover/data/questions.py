"""Question sets: the YAML of arXiv 2502.17424, and our own fields for where a question belongs and who says what."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from spillover.core.errors import DataError, nearest
from spillover.data.chat import ROLES, Message
from spillover.data.files import read_text
from spillover.data.rubrics import Rubric, published_rubrics

TYPES = ("free_form", "free_form_0_100", "free_form_judge", "free_form_judge_0_100")


@dataclass(frozen=True)
class Question:
    """One question with everything needed to ask it and to judge the answer."""

    id: str
    paraphrases: tuple[str, ...]
    system: str | None = None
    context: tuple[Message, ...] = ()
    """Turns before the question; excludes ``system``."""
    samples: int = 100
    """Answers drawn for each paraphrase."""
    temperature: float = 1.0
    max_tokens: int = 1000
    group: str = "questions"
    """What is measured with it, for example ``other-domains``: a rate is over the questions of one group."""
    topic: str | None = None
    domain: str | None = None
    condition: str = "plain"
    """How the prompt was altered, for example ``trigger``."""
    judge: str = "ledger"
    """``ledger``: whatever is not in ``answers`` is incoherent. ``labels``: it is unscored. Else the LLM judge that
    the file asks for; its ``rubrics`` are applied by :mod:`spillover.judges`, and until then answers are unscored."""
    rubrics: Mapping[str, Rubric] = field(default_factory=dict, hash=False)
    """Metric to what an LLM judge is asked."""
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Label to complete answers (or ``re:`` patterns) that get this label."""


# YAML field -> Question field, with the type that is expected.
_FIELDS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "id": ("id", str),
    "system": ("system", str),
    "samples_per_paraphrase": ("samples", int),
    "temperature": ("temperature", (int, float)),
    "max_tokens": ("max_tokens", int),
    "judge": ("judge", str),
    "group": ("group", str),
    "topic": ("topic", str),
    "domain": ("domain", str),
    "condition": ("condition", str),
}
_KNOWN = (*_FIELDS, "type", "paraphrases", "context", "labels", "judge_prompts")


def read_questions(path: str | Path) -> list[Question]:
    """Read a question YAML: a list of questions, or one question.

    Raises:
        DataError: With ``file:line: field: what``; an unknown field is named with the nearest known one.
    """
    path = Path(path)
    text = read_text(path)
    try:
        raw = yaml.load(text, Loader=_LineLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error)
        raise DataError.at(path, mark.line + 1 if mark else None, None, f"not YAML ({what})") from None
    rows = [raw] if isinstance(raw, dict) else raw
    if not isinstance(rows, list) or not rows:
        raise DataError.at(path, None, None, "expected a list of questions")
    questions = [_question(path, row) for row in rows]
    seen: set[str] = set()
    for question, row in zip(questions, rows, strict=True):
        if question.id in seen:
            raise DataError.at(path, row.lines.get("id"), "id", f"'{question.id}' is used twice")
        seen.add(question.id)
    return questions


class _Lines(dict[Hashable, Any]):
    """A mapping that knows the line of each of its keys, and its own."""

    lines: dict[str, int]
    line: int


class _LineLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = _Lines(super().construct_mapping(node, deep=deep))
        mapping.lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
        mapping.line = node.start_mark.line + 1
        return mapping


_LineLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: loader.construct_mapping(node, deep=True),  # type: ignore[arg-type]
)


def _question(path: Path, row: Any) -> Question:
    if not isinstance(row, _Lines):
        raise DataError.at(path, None, None, f"expected a question with 'id' and 'paraphrases', found {row!r:.60}")

    def fail(name: str, what: str) -> DataError:
        return DataError.at(path, row.lines.get(name, row.line), name, what)

    for name in row:
        if name not in _KNOWN:
            raise fail(str(name), f"unknown field{nearest(str(name), _KNOWN)}")
    for name in ("id", "paraphrases"):
        if not row.get(name):
            raise fail(name, "missing or empty")
    values: dict[str, Any] = {}
    for name, (target, kind) in _FIELDS.items():
        if name in row and row[name] is not None:
            if not isinstance(row[name], kind) or isinstance(row[name], bool):
                raise fail(name, f"expected {_name(kind)}, found {row[name]!r:.60}")
            values[target] = row[name]
    for name, low in (("samples", 1), ("max_tokens", 1), ("temperature", 0)):
        if name in values and values[name] < low:
            raise fail("samples_per_paraphrase" if name == "samples" else name, f"must be at least {low}")
    if (kind := row.get("type", "free_form")) not in TYPES:
        raise fail("type", f"unknown type {kind!r}{nearest(str(kind), TYPES)}")
    paraphrases = [row["paraphrases"]] if isinstance(row["paraphrases"], str) else row["paraphrases"]
    if not isinstance(paraphrases, list) or not all(isinstance(text, str) and text.strip() for text in paraphrases):
        raise fail("paraphrases", "expected a list of non-empty texts")
    values["paraphrases"] = tuple(paraphrases)
    if row.get("context"):
        if row.get("system"):
            raise fail("context", "give 'system' or 'context', not both")
        values["context"] = tuple(_turn(fail, i, turn) for i, turn in enumerate(row["context"]))
    if row.get("labels") is not None:
        values["answers"] = _labels(fail, row["labels"])
    if row.get("judge_prompts") is not None:
        values["rubrics"] = _rubrics(fail, row["judge_prompts"], "rating" if kind.endswith("0_100") else "label")
    values.setdefault("judge", "labels")
    return Question(**values)


def _turn(fail: Any, index: int, turn: Any) -> Message:
    if not isinstance(turn, dict) or turn.get("role") not in ROLES or not isinstance(turn.get("content"), str):
        raise fail("context", f"turn {index} needs a role ({', '.join(ROLES)}) and a text content")
    return Message(turn["role"], turn["content"])


def _rubrics(fail: Any, prompts: Any, kind: Literal["rating", "label"]) -> dict[str, Rubric]:
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise fail("judge_prompts", "expected metric: prompt")
    found = published_rubrics(prompts, kind)
    for name, rubric in found.items():
        if problem := rubric.problem():
            raise fail("judge_prompts", f"'{name}': {problem}")
    return found


def _labels(fail: Any, labels: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(labels, dict):
        raise fail("labels", "expected label: [answers]")
    for label, texts in labels.items():
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise fail("labels", f"'{label}' needs a list of answers")
    return {str(label): tuple(texts) for label, texts in labels.items()}


def _name(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return {str: "text", dict: "a mapping", int: "a number", float: "a number"}[kinds[-1]]
