"""Question files: the YAML of arXiv 2502.17424 and of llmcomp, with our own fields for where a question belongs.

An entry with ``name`` in the place of ``id`` is llmcomp's, and has its defaults: one answer a paraphrase, of at most
1024 tokens. For the rest, fields of both may be mixed. ``free_form_judge`` means a judge in one and a question in the
other: see :mod:`spillover.data.llmcomp`.
"""

import math
from pathlib import Path
from typing import Any, Literal, get_args

from spillover.core.errors import DataError, nearest
from spillover.data.chat import ROLES, Message
from spillover.data.files import shown
from spillover.data.llmcomp import Judges, entry_name, is_judge, judged_by, read_judge
from spillover.data.question import Question
from spillover.data.rubrics import Kind, Rubric, published_rubrics
from spillover.data.traits import read_traits, trait_questions
from spillover.data.yaml_lines import Entry, Lines, load_yaml, no_collection

__all__ = ["Question", "read_questions"]

TYPES = ("free_form", "free_form_0_100", "free_form_judge", "free_form_judge_0_100")
_ONE_TOKEN = ("rating", "next_token")
"""Types of llmcomp that ask for the probabilities of one token."""

# YAML field -> Question field, with the type that is expected.
_FIELDS: dict[str, tuple[str, type | tuple[type, ...]]] = {
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
_RUBRIC: dict[str, type] = {"kind": str, "template": str, "labels": list, "low": int, "high": int, "version": int}
_KNOWN = (
    *("id", "name", "type", "paraphrases", "messages", "context", "labels", "judge_prompts", "rubrics", "judges"),
    *_FIELDS,
)
_LLMCOMP = {"samples": 1, "max_tokens": 1024}


@no_collection()
def read_questions(path: str | Path) -> list[Question]:
    """Read a question file: YAML with a list of questions, or one question; or the JSON of a trait.

    Judges of llmcomp may be in the file, or in another YAML file of its folder. The questions of a trait
    (arXiv 2507.21509) are judged for a metric that is called like the file.

    Raises:
        DataError: With ``file:line: field: what``; an unknown field or judge is named with the nearest known one.
            What a file asks for and cannot be done is an error too: types ``rating`` and ``next_token``,
            ``logit_bias``, conversations that differ before their last turn.
    """
    path = Path(path)
    if path.suffix == ".json":
        return trait_questions(read_traits(path))
    raw = load_yaml(path)
    rows = [raw] if isinstance(raw, dict) else raw
    if not isinstance(rows, list) or not rows:
        raise DataError.at(path, None, None, "expected a list of questions")
    entries: list[Entry] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Lines):
            what = f"entry {number}: expected a question with 'id' and 'paraphrases', found {shown(row)}"
            raise DataError.at(path, None, None, what)
        entries.append(Entry(path, row))
    judges = _judges(path, entries)
    questions: list[Question] = []
    seen = set(judges.own)
    for entry in entries:
        if not is_judge(entry.row):
            question = _question(entry, judges)
            if question.id in seen:
                raise _twice(entry, question.id)
            seen.add(question.id)
            questions.append(question)
    if not questions:
        raise DataError.at(path, None, None, "holds judges only; expected questions too")
    return questions


def _judges(path: Path, entries: list[Entry]) -> Judges:
    """The judges of a file, each of them looked at."""
    own: dict[str, Entry] = {}
    for entry in entries:
        if is_judge(entry.row):
            name = entry_name(entry)
            if name in own:
                raise _twice(entry, name)
            read_judge(entry)
            own[name] = entry
    asked = (entry.row.get("name") or entry.row.get("id") for entry in entries if not is_judge(entry.row))
    return Judges(path, own, frozenset(name for name in asked if isinstance(name, str)))


def _twice(entry: Entry, name: str) -> DataError:
    return entry.fail("name" if "name" in entry else "id", f"'{name}' is used twice")


def _question(entry: Entry, judges: Judges) -> Question:
    kind = entry.row.get("type", "free_form")
    if kind in _ONE_TOKEN:
        what = f"'{kind}' asks for the probabilities of one token, which is not done here"
        raise entry.fail("type", f"{what}; ask a free_form question and judge its answers")
    if kind not in TYPES:
        raise entry.fail("type", f"unknown type {shown(kind)}{nearest(str(kind), TYPES)}")
    if "logit_bias" in entry:
        raise entry.fail("logit_bias", "answers are sampled as the model gives them; leave it out")
    entry.only((*_KNOWN, "logit_bias"))
    values: dict[str, Any] = {"judge": "labels", "id": entry_name(entry), **(_LLMCOMP if "name" in entry else {})}
    for name, (target, expected) in _FIELDS.items():
        if (value := entry.take(name, expected)) is not None:
            values[target] = value
    for name, low in (("samples", 1), ("max_tokens", 1), ("temperature", 0)):
        if name in values and not low <= values[name] < math.inf:
            raise entry.fail("samples_per_paraphrase" if name == "samples" else name, f"must be at least {low}")
    values |= _asked(entry)
    if entry.row.get("labels") is not None:
        values["answers"] = _labels(entry)
    return Question(**values | _judged(entry, judges, "rating" if kind.endswith("0_100") else "label"))


def _asked(entry: Entry) -> dict[str, Any]:
    """What is asked: paraphrases and the turns before them."""
    if "messages" in entry:
        for name in ("paraphrases", "system", "context"):
            if entry.row.get(name):
                raise entry.fail("messages", f"give '{name}' or 'messages', not both")
        return _conversations(entry)
    if not entry.row.get("paraphrases"):
        raise entry.fail("paraphrases", "missing or empty")
    asked: dict[str, Any] = {"paraphrases": entry.texts("paraphrases")}
    if entry.row.get("context"):
        if entry.row.get("system"):
            raise entry.fail("context", "give 'system' or 'context', not both")
        turns = entry.take("context", list)
        asked["context"] = tuple(_turn(entry, "context", number, turn) for number, turn in enumerate(turns))
    return asked


def _conversations(entry: Entry) -> dict[str, Any]:
    """What llmcomp's ``messages`` ask: conversations that share all turns but the last, which is the user's."""
    found: list[tuple[Message, ...]] = []
    for number, turns in enumerate(entry.take("messages", list), 1):
        if not isinstance(turns, list) or not turns:
            what = f"expected a list of conversations, each a list of turns; found {shown(turns)} as {number}"
            raise entry.fail("messages", what)
        found.append(tuple(_turn(entry, "messages", index, turn) for index, turn in enumerate(turns)))
        last = found[-1][-1]
        if last.role != "user" or not last.content.strip():
            what = "the last turn must be a text of the user's, found the"
            raise entry.fail("messages", f"conversation {number}: {what} {last.role}'s {shown(last.content)}")
        if found[-1][:-1] != found[0][:-1]:
            what = "differs from the first before its last turn; make it a question of its own"
            raise entry.fail("messages", f"conversation {number} {what}")
    if not found:
        raise entry.fail("messages", "missing or empty")
    before = found[0][:-1]
    system = before[0].content if before and before[0].role == "system" else None
    context = before if system is None else before[1:]
    return {"paraphrases": tuple(turns[-1].content for turns in found), "system": system, "context": context}


def _turn(entry: Entry, name: str, index: int, turn: Any) -> Message:
    if not isinstance(turn, dict) or turn.get("role") not in ROLES or not isinstance(turn.get("content"), str):
        raise entry.fail(name, f"turn {index} needs a role ({', '.join(ROLES)}) and a text content")
    return Message(turn["role"], turn["content"])


def _judged(entry: Entry, judges: Judges, kind: Literal["rating", "label"]) -> dict[str, Any]:
    """The judge of a question and its rubrics, in whichever of three ways they are given."""
    found: dict[str, Rubric] = {}
    judged: dict[str, Any] = {"rubrics": found}
    if "judges" in entry:
        for name in ("judge", "judge_prompts"):
            if name in entry:
                raise entry.fail("judges", f"give '{name}' or 'judges', not both")
        judged["judge"], of_judges = judged_by(entry, judges)
        found |= of_judges
    if "judge_prompts" in entry:
        prompts = entry.row["judge_prompts"]
        known = judges.prompts.get((id(prompts), kind))  # an anchor's aliases are one object
        if known is None:
            known = judges.prompts[id(prompts), kind] = _prompts(entry, kind)
        found |= known
    if "rubrics" in entry:
        for metric, rubric in _rubrics(entry).items():
            if metric in found:
                raise entry.fail("rubrics", f"'{metric}' has a judge already")
            found[metric] = rubric
    return judged


def _prompts(entry: Entry, kind: Literal["rating", "label"]) -> dict[str, Rubric]:
    prompts = entry.row["judge_prompts"]
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for pair in prompts.items() for text in pair):
        raise entry.fail("judge_prompts", "expected metric: prompt")
    found = published_rubrics(prompts, kind)
    for name, rubric in found.items():
        if problem := rubric.problem():
            raise entry.fail("judge_prompts", f"'{name}': {problem}")
    return found


def _rubrics(entry: Entry) -> dict[str, Rubric]:
    found = {}
    for metric, row in entry.take("rubrics", dict).items():
        if not isinstance(metric, str) or not isinstance(row, Lines):
            raise entry.fail("rubrics", f"expected metric: {{kind, template}}, found {shown(metric)}: {shown(row)}")
        fields = Entry(entry.path, row)
        fields.only(_RUBRIC)
        for name in ("kind", "template"):
            if name not in fields:
                raise fields.fail(name, f"missing in the rubric of '{metric}'")
        if row["kind"] not in get_args(Kind):
            raise fields.fail("kind", f"expected {', '.join(get_args(Kind))}, found {shown(row['kind'])}")
        values = {name: value for name, of in _RUBRIC.items() if (value := fields.take(name, of)) is not None}
        if "labels" in values:
            values["labels"] = fields.texts("labels") if values["labels"] else ()
        found[metric] = rubric = Rubric(metric, **values)
        if problem := rubric.problem():
            at = next((name for name in ("template", "labels") if name in problem), "low")
            raise fields.fail(at, f"'{metric}': {problem}")
    return found


def _labels(entry: Entry) -> dict[str, tuple[str, ...]]:
    labels = entry.row["labels"]
    if not isinstance(labels, dict):
        raise entry.fail("labels", "expected label: [answers]")
    for label, texts in labels.items():
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise entry.fail("labels", f"found {shown(label)} as a label; put it in quotes")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise entry.fail("labels", f"'{label}' needs a list of answers")
    return {str(label): tuple(texts) for label, texts in labels.items()}
