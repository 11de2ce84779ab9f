"""Judges as llmcomp writes them: entries of their own in a YAML file, which questions refer to by name.

``rating_judge`` is always a judge. ``free_form_judge`` is a judge in llmcomp and a question in arXiv 2502.17424: with
``judge`` or ``judge_prompts`` it is a question; else with ``model``, or ``{answer}`` in its text, it is a judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from spillover.core.errors import DataError, nearest
from spillover.data.files import shown
from spillover.data.rubrics import Rubric, published_rubrics
from spillover.data.yaml_lines import Entry, Lines, load_yaml

JUDGES = ("free_form_judge", "rating_judge")
_KNOWN = ("id", "name", "type", "model", "paraphrases", "samples_per_paraphrase", "labels")
_KNOWN_OF = {
    "free_form_judge": ("temperature", "max_tokens"),
    "rating_judge": ("min_rating", "max_rating", "refusal_threshold", "top_logprobs"),
}
_FIXED: dict[str, tuple[float, str]] = {
    "samples_per_paraphrase": (1, "a judge is asked once"),
    "temperature": (0, "judges are asked at temperature 0"),
    "refusal_threshold": (0.75, "a rating counts from a probability of 0.25 on numbers"),
    "top_logprobs": (20, "judges are asked for the 20 likeliest tokens"),
}
"""What llmcomp lets one set and is always the same here; other values are refused."""
_ALONE = ("system", "messages", "context", "judges", "logit_bias")


@dataclass
class Judges:
    """The judges that a question of one file may name: those of the file, else of the YAML files beside it."""

    path: Path
    own: dict[str, Entry]
    questions: frozenset[str] = frozenset()
    """Names of the file's entries that are questions, so that a reference to one of them is told from a typo."""
    prompts: dict[tuple[int, str], dict[str, Rubric]] = field(default_factory=dict)
    """Rubrics of ``judge_prompts`` that were seen: identity of the mapping and kind to rubrics."""
    _beside: dict[str, list[Entry]] | None = None
    _read: dict[str, tuple[str, Rubric]] = field(default_factory=dict)

    def named(self, question: Entry, name: str) -> tuple[str, Rubric]:
        """The model and rubric of a judge.

        Raises:
            DataError: There is no such judge, there are two in the files beside, or it cannot be used.
        """
        if name not in self._read:
            self._read[name] = read_judge(self._find(question, name))
        return self._read[name]

    def _find(self, question: Entry, name: str) -> Entry:
        if name in self.own:
            return self.own[name]
        if name in self.questions:
            raise question.fail("judges", f"'{name}' is a question; a judge has 'model' and '{{answer}}' in its text")
        if self._beside is None:
            self._beside = _judges_beside(self.path)
        found = self._beside.get(name, [])
        if not found:
            close = nearest(name, {**self.own, **self._beside})
            where = "this file or the YAML files beside it"
            raise question.fail("judges", f"no judge is called '{name}' in {where}{close}")
        if len(found) > 1:
            places = " and ".join(f"{entry.path.name}:{entry.row.line}" for entry in found)
            raise question.fail("judges", f"'{name}' is a judge in {places}; keep one")
        return found[0]


def is_judge(row: Mapping[Any, Any]) -> bool:
    """Whether an entry is a judge rather than a question; the module says by what they are told apart."""
    if row.get("type") != "free_form_judge":
        return row.get("type") == "rating_judge"
    if "judge" in row or "judge_prompts" in row:
        return False
    asked = row.get("paraphrases")
    texts = asked if isinstance(asked, list) else [asked]
    return "model" in row or any(isinstance(text, str) and "{answer}" in text for text in texts)


def entry_name(entry: Entry) -> str:
    """What an entry is called: its ``name``, as llmcomp has it, or its ``id``.

    Raises:
        DataError: It has neither or both, or one that is no text.
    """
    if "name" in entry and "id" in entry:
        raise entry.fail("name", "give 'id' or 'name', not both")
    found = "name" if "name" in entry else "id"
    text: str = entry.take(found, str, "")
    if not text.strip():
        raise entry.fail(found, "missing or empty")
    return text


def judged_by(question: Entry, judges: Judges) -> tuple[str, dict[str, Rubric]]:
    """The judge model and the rubrics of a question's ``judges``: metric to the name of a judge, or to a judge.

    Raises:
        DataError: A judge is not there or cannot be used, or they do not share one model.
    """
    found: dict[str, Rubric] = {}
    model: str | None = None
    for metric, judge in question.take("judges", dict).items():
        if not isinstance(metric, str) or not isinstance(judge, str | Lines):
            what = "expected metric: name of a judge, or metric: {type, model, paraphrases}"
            raise question.fail("judges", f"{what}, found {shown(metric)}: {shown(judge)}")
        if isinstance(judge, str):
            asked, rubric = judges.named(question, judge)
        else:
            asked, rubric = read_judge(Entry(question.path, judge))
        if model not in (None, asked):
            raise question.fail("judges", f"'{metric}' asks {asked}, another asks {model}; a question has one judge")
        model, found[metric] = asked, replace(rubric, name=metric)
    if model is None:
        raise question.fail("judges", "missing or empty")
    return model, found


def read_judge(entry: Entry) -> tuple[str, Rubric]:
    """The model and the rubric of a judge; the rubric still has the judge's name.

    How long a reply may be (``max_tokens``) is the same for all judges here, and not taken over.

    Raises:
        DataError: A field is unknown or asks for what judges here do not do, or the template cannot be used.
    """
    kind = entry.row.get("type")
    if kind not in JUDGES:
        raise entry.fail("type", f"a judge is one of {', '.join(JUDGES)}, found {shown(kind)}")
    for name in _ALONE:
        if name in entry:
            raise entry.fail(name, "a judge is given its one text and nothing else; leave it out")
    entry.only((*_KNOWN, *_KNOWN_OF[kind]))
    if "model" not in entry:
        raise entry.fail("model", "missing; a judge names the model that is asked")
    for name, (value, why) in _FIXED.items():
        if entry.take(name, (int, float), value) != value:
            raise entry.fail(name, f"must be {value:g}, found {shown(entry.row[name])}: {why}")
    if "paraphrases" not in entry:
        raise entry.fail("paraphrases", "missing or empty")
    texts = entry.texts("paraphrases")
    if len(texts) != 1:
        raise entry.fail("paraphrases", f"a judge has exactly one text, found {len(texts)}")
    way: Literal["rating", "label"] = "rating" if kind == "rating_judge" else "label"
    rubric = published_rubrics({"": _template(entry, texts[0])}, way)[""]
    rubric = replace(rubric, low=entry.take("min_rating", int, 0), high=entry.take("max_rating", int, 100))
    if "labels" in entry:
        rubric = replace(rubric, labels=entry.texts("labels"))
    if problem := rubric.problem():
        raise entry.fail("paraphrases" if "template" in problem else "min_rating", problem)
    return entry.take("model", str), rubric


def _template(entry: Entry, text: str) -> str:
    """A template as Python's ``str.format`` reads it, as one in which single braces are text."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise entry.fail("paraphrases", f"not a template ({error}); a brace that is text is written twice") from None
    whole, fixed = "", ""
    for literal, name, spec, conversion in parts:
        whole, fixed = whole + literal, fixed + literal
        if name is None:
            continue
        if name not in ("question", "answer") or spec or conversion:
            what = "holds {question} and {answer} only; a brace that is text is written twice"
            raise entry.fail("paraphrases", f"unknown {{{name}}}: a template {what}")
        whole, fixed = whole + f"{{{name}}}", fixed + "\0"
    if "{question}" in fixed or "{answer}" in fixed:
        raise entry.fail("paraphrases", "{{question}} and {{answer}} as text would be filled in; write it otherwise")
    return whole


def _judges_beside(path: Path) -> dict[str, list[Entry]]:
    """The judges of the other YAML files of a folder; files that are no lists of entries are none of ours."""
    found: dict[str, list[Entry]] = {}
    for other in sorted([*path.parent.glob("*.yaml"), *path.parent.glob("*.yml")]):
        if other.name == path.name:
            continue
        try:
            rows = load_yaml(other)
        except DataError:
            continue
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, Lines) and is_judge(row):
                name = row.get("name", row.get("id"))
                found.setdefault(str(name), []).append(Entry(other, row))
    return found
