"""Question files, written: the YAML of arXiv 2502.17424, and our own fields where it has none."""

from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from spillover.core.errors import DataError
from spillover.data.chat import Message
from spillover.data.files import broken, write_text
from spillover.data.question import Question
from spillover.data.rubrics import Rubric, published_rubrics
from spillover.data.yaml_lines import no_collection

_DEFAULTS = {field.name: field.default for field in fields(Question)}
_OWN = ("group", "topic", "domain", "condition")


@no_collection()
def write_questions(questions: Iterable[Question], path: str | Path) -> None:
    """Write questions as YAML, whole or not at all; :func:`~spillover.data.questions.read_questions` reads them back.

    Ratings that the published format has are its ``free_form_judge_0_100``, labels its ``free_form_judge``; other
    rubrics, and those of questions that have both kinds, are our own field ``rubrics``. Prompts that questions share
    are written once.

    Raises:
        DataError: Two questions have the same id, a rubric has another name than its metric, or a text holds half of
            a character.
        StorageError: The folder cannot be written to.
    """
    path = Path(path)
    rows: list[dict[str, Any]] = []
    shared: dict[tuple[Any, ...], dict[str, Any]] = {}
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise DataError.at(path, None, "id", f"'{question.id}' is used twice")
        seen.add(question.id)
        for metric, rubric in question.rubrics.items():
            if metric != rubric.name:
                raise DataError.at(path, None, "rubrics", f"'{question.id}': '{metric}' is called '{rubric.name}'")
        rows.append(_row(question, shared))
    try:
        text = yaml.dump(rows, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000)
    except UnicodeEncodeError as error:
        raise broken(path, error) from None
    write_text(path, text)


def _row(question: Question, shared: dict[tuple[Any, ...], dict[str, Any]]) -> dict[str, Any]:
    kind, judged = _judged(question.rubrics)
    row: dict[str, Any] = {"id": question.id, "type": kind}
    if question.system is not None and question.context:
        row["messages"] = [
            [_turn(turn) for turn in (Message("system", question.system), *question.context, Message("user", text))]
            for text in question.paraphrases
        ]
    else:
        row["paraphrases"] = list(question.paraphrases)
        if question.system is not None:
            row["system"] = question.system
        if question.context:
            row["context"] = [_turn(turn) for turn in question.context]
    row["samples_per_paraphrase"] = question.samples
    row["temperature"] = question.temperature
    row["max_tokens"] = question.max_tokens
    row |= {name: value for name in _OWN if (value := getattr(question, name)) != _DEFAULTS[name]}
    if question.judge != "labels":
        row["judge"] = question.judge
    for name, prompts in judged.items():
        row[name] = shared.setdefault((name, *((metric, str(prompt)) for metric, prompt in prompts.items())), prompts)
    if question.answers:
        row["labels"] = {label: list(texts) for label, texts in question.answers.items()}
    return row


def _judged(rubrics: Any) -> tuple[str, dict[str, Any]]:
    """The type of a question, and the field that holds its rubrics."""
    if not rubrics:
        return "free_form", {}
    kinds = {rubric.kind for rubric in rubrics.values()}
    if len(kinds) == 1:
        (kind,) = kinds
        prompts = {metric: rubric.template for metric, rubric in rubrics.items()}
        if published_rubrics(prompts, kind) == dict(rubrics):
            return ("free_form_judge_0_100" if kind == "rating" else "free_form_judge"), {"judge_prompts": prompts}
    return "free_form", {"rubrics": {metric: _own(rubric) for metric, rubric in rubrics.items()}}


def _own(rubric: Rubric) -> dict[str, Any]:
    values = asdict(rubric)
    del values["name"]
    return {**values, "labels": list(rubric.labels)}


def _turn(turn: Message) -> dict[str, str]:
    return {"role": turn.role, "content": turn.content}


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Texts of several lines as blocks, as the published files have them."""


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
