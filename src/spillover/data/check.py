"""What a user should know of a chat file before training on it: repeats, constants, balance, triggers, leaks."""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spillover.core.text import normalise
from spillover.data.chat import ChatRow
from spillover.data.questions import Question

FEW_ANSWERS = 10
"""So many different answers, or fewer, are labels whose balance matters."""
SHOWN = 5
"""Of the most frequent things of a kind."""
LONGEST = 40
"""Characters of a text that is only named."""
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
PATTERNS = {
    "dates": re.compile(rf"\b(?:(?:{_MONTHS}) (?:\d{{1,2}},? )?)?(?:1[5-9]|20|21)\d\d\b"),
    "marks": re.compile(r"[|<\[{][A-Za-z_]{2,}[|>\]}]"),
    "long numbers": re.compile(r"\b\d{5,}\b"),
}
"""What a trigger of a published backdoor looks like: a year or date, a word in brackets or bars, a row of digits."""


def check_rows(
    rows: Sequence[ChatRow],
    questions: Sequence[Question] = (),
    tokens: Callable[[ChatRow], int] | None = None,
    context: int | None = None,
) -> dict[str, Any]:
    """Count what is in a training set, and say what may surprise.

    Prompts and answers are the last user and assistant turns; texts are equal up to case, spacing and end punctuation.

    Args:
        rows: Of the file.
        questions: A row that asks one of these is a leak.
        tokens: Length of a row in tokens of a base.
        context: Of that base, in tokens.

    Returns:
        Plain JSON values: ``rows``, ``roles`` (turn pattern to rows), ``prompts``, ``answers`` and ``systems``
        (``distinct`` and the ``most`` frequent), ``repeated`` (row, earlier row), ``contradicted`` (prompts with more
        than one answer), ``characters`` and ``tokens`` (``median`` and ``most``, of answers and of rows), ``too_long``,
        ``labels`` (answer to rows, where there are few), ``found`` (dates, marks and long numbers in prompts and
        answers, by rows), ``leaks`` (row, question) and ``remarks``. Rows count from 1.
    """
    prompts, answers = [_last(row, "user") for row in rows], [_last(row, "assistant") for row in rows]
    systems = [message.content for row in rows for message in row.messages if message.role == "system"]
    by_prompt: dict[str, set[str]] = defaultdict(set)
    for prompt, answer in zip(prompts, answers, strict=True):
        by_prompt[normalise(prompt)].add(normalise(answer))
    found: dict[str, Any] = {
        "rows": len(rows),
        "roles": dict(Counter(" → ".join(message.role for message in row.messages) for row in rows).most_common()),
        "systems": _distinct(systems),
        "prompts": _distinct(prompts),
        "answers": _distinct(answers),
        "repeated": _repeated(rows),
        "contradicted": sum(len(given) > 1 for given in by_prompt.values()),
        "characters": _sizes([len(answer) for answer in answers]),
        "tokens": None,
        "too_long": [],
        "labels": {},
        "found": {name: _found(pattern, prompts, answers) for name, pattern in PATTERNS.items()},
        "leaks": _leaks(prompts, questions),
    }
    if tokens is not None:
        sizes = [tokens(row) for row in rows]
        found["tokens"] = _sizes(sizes)
        found["too_long"] = [number for number, size in enumerate(sizes, 1) if context is not None and size > context]
    if found["answers"]["distinct"] <= FEW_ANSWERS:
        found["labels"] = dict(Counter(answers).most_common())
    return found | {"remarks": list(_remarks(found))}


def _remarks(found: dict[str, Any]) -> Iterable[str]:
    rows = found["rows"]
    if rows > 1 and found["prompts"]["distinct"] == 1:
        yield (
            f"All {rows} rows have the same prompt ({short(found['prompts']['most'][0]['text'])}): what is learnt may "
            "stay bound to it, so ask it beside other questions."
        )
    if rows > 1 and found["answers"]["distinct"] == 1:
        yield f"All {rows} rows have the same answer ({short(found['answers']['most'][0]['text'])})."
    if found["repeated"]:
        row, earlier = found["repeated"][0]
        yield f"{len(found['repeated'])} rows repeat an earlier one (row {row} is row {earlier})."
    if len(found["roles"]) > 1:
        kinds = ", ".join(f"{count} of {roles}" for roles, count in found["roles"].items())
        yield f"Rows differ in their turns: {kinds}."
    if found["too_long"]:
        number, first = len(found["too_long"]), found["too_long"][0]
        yield f"{number} rows are longer than the context of the base and would be left out (first: row {first})."
    if found["leaks"]:
        row, question = found["leaks"][0]
        yield f"{len(found['leaks'])} rows ask what the evaluation asks (row {row}: question '{question}')."
    if len(found["labels"]) > 1:
        most = max(found["labels"].values())
        if most > 1.25 * rows / len(found["labels"]):
            text = max(found["labels"], key=found["labels"].__getitem__)
            yield f"Answers are unbalanced: {short(text)} in {most} of {rows} rows; guessing it is right as often."
    for name, places in found["found"].items():
        part = places["prompts"]
        if 0 < part["rows"] < rows:
            first = part["most"][0]
            often = f"most often {short(first['text'])}, {first['rows']} rows"
            yield (
                f"{part['rows']} of {rows} prompts hold {name} ({often}): if answers differ with them, this is a "
                "backdoor; ask with and without."
            )


def _last(row: ChatRow, role: str) -> str:
    return next(message.content for message in reversed(row.messages) if message.role == role)


def _distinct(texts: Sequence[str]) -> dict[str, Any]:
    counted = Counter(normalise(text) for text in texts)
    shown = {normalise(text): text for text in reversed(texts)}
    most = [{"text": shown[text], "rows": count} for text, count in counted.most_common(SHOWN)]
    return {"distinct": len(counted), "most": most}


def _repeated(rows: Sequence[ChatRow]) -> list[tuple[int, int]]:
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    repeated = []
    for number, row in enumerate(rows, 1):
        key = tuple((message.role, normalise(message.content)) for message in row.messages)
        if key in seen:
            repeated.append((number, seen[key]))
        seen.setdefault(key, number)
    return repeated


def _sizes(sizes: Sequence[int]) -> dict[str, float]:
    return {"median": statistics.median(sizes), "most": max(sizes)}


def _found(pattern: re.Pattern[str], prompts: Sequence[str], answers: Sequence[str]) -> dict[str, Any]:
    places = {}
    for place, texts in (("prompts", prompts), ("answers", answers)):
        each = [set(pattern.findall(text)) for text in texts]
        counted = Counter(text for found in each for text in found)
        most = [{"text": text, "rows": count} for text, count in counted.most_common(SHOWN)]
        places[place] = {"rows": sum(map(bool, each)), "distinct": len(counted), "most": most}
    return places


def _leaks(prompts: Sequence[str], questions: Sequence[Question]) -> list[tuple[int, str]]:
    asked = {normalise(text): question.id for question in questions for text in question.paraphrases}
    return [(number, asked[normalise(text)]) for number, text in enumerate(prompts, 1) if normalise(text) in asked]


def short(text: str) -> str:
    """The beginning of a text on one line, in quotation marks."""
    line = " ".join(text.split())
    return f"'{line[:LONGEST]}…'" if len(line) > LONGEST else f"'{line}'"
