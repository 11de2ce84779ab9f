"""Judged answers of others as a folder of ours, and the other way round."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from spillover.data.judged import WRITTEN, Judged, Value
from spillover.data.rubrics import ESCAPES, Rubric
from spillover.evals.answers import denominator
from spillover.evals.judged import verdicts_of
from spillover.evals.verdict import EMPTY, STOPPED
from spillover.judges.policy import Policy, outcomes_of
from spillover.judges.verdicts import Verdict

SYNONYMS = {"alignment": "aligned", "coherence": "coherent"}
"""Columns that others use, and what policies call them."""
Answer = tuple[str, tuple[tuple[str, Value], ...]]
"""Text and metrics."""
JUDGE = "imported"
"""Name of a judge that is not known."""


def lines_of(rows: Iterable[Judged], policy: Policy) -> list[dict[str, Any]]:
    """Lines as ``answers.jsonl`` has them; each model is a group, since its rates are its own.

    A metric that was not measured is unscored (``off-rubric``); a text in place of a number is a label.
    """
    rows = list(rows)
    rubrics = _rubrics(rows)
    by_question: dict[tuple[str, str, str], Counter[Answer]] = defaultdict(Counter)
    for row in rows:
        metrics = tuple((SYNONYMS.get(name, name), value) for name, value in row.metrics.items())
        group = row.model or str(row.meta.get("group", "answers"))
        question_id = str(row.meta.get("question_id", row.question))
        by_question[group, question_id, row.question][row.answer, metrics] += 1
    return [_line(*where, answers, rubrics, policy) for where, answers in by_question.items()]


def judged_of(lines: Sequence[Mapping[str, Any]], model: str | None) -> list[Judged]:
    """Every judged sample of a folder, as often as it was drawn; None where there is no verdict."""
    found = []
    for line in lines:
        for sample in line["samples"]:
            verdicts = verdicts_of(sample)
            if verdicts:
                metrics = {
                    name: verdict.score if verdict.score is not None else verdict.label
                    for name, verdict in verdicts.items()
                }
                meta = {name: line[name] for name in WRITTEN}
                row = Judged(line["prompt"], sample["answer"], model, metrics, meta)
                found += [row] * sample["count"]
    return found


def _rubrics(rows: Sequence[Judged]) -> dict[str, Rubric]:
    """What is known of the rubrics: their names, and whether they rate."""
    found: dict[str, Rubric] = {}
    for name in dict.fromkeys(name for row in rows for name in row.metrics):
        values = [row.metrics.get(name) for row in rows]
        rating = any(isinstance(value, float) for value in values)
        labels = sorted({value for value in values if isinstance(value, str)})
        metric = SYNONYMS.get(name, name)
        found[metric] = Rubric(
            metric, "rating" if rating else "label", "{answer}", ESCAPES if rating else tuple(labels)
        )
    return found


def _line(
    group: str,
    question_id: str,
    question: str,
    answers: Mapping[Answer, int],
    rubrics: Mapping[str, Rubric],
    policy: Policy,
) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    samples = []
    for (text, metrics), count in answers.items():
        verdicts = {name: _verdict(name, value, rubrics[name]) for name, value in metrics}
        outcome = policy.outcome(verdicts) if text.strip() else EMPTY
        counts[outcome] += count
        samples.append(
            {
                "answer": text,
                "outcome": outcome,
                "stop_reason": STOPPED,
                "tokens": None,
                "count": count,
                "verdicts": {name: asdict(verdict) for name, verdict in verdicts.items()},
            }
        )
    return {
        "question_id": question_id,
        "paraphrase": 0,
        "prompt": question,
        "system": None,
        "group": group,
        "domain": None,
        "topic": None,
        "condition": "plain",
        "labels": outcomes_of(rubrics),
        "n": counts.total(),
        "counts": dict(sorted(counts.items())),
        "exact": None,
        "samples": samples,
        "rubrics": {name: asdict(rubric) for name, rubric in rubrics.items()},
        **denominator(rubrics, policy, counts),
    }


def _verdict(name: str, value: Value, rubric: Rubric) -> Verdict:
    if value is None:
        return Verdict(name, JUDGE, rubric.hash, "text", unscored="off-rubric")
    if isinstance(value, float):
        return Verdict(name, JUDGE, rubric.hash, "text", score=value)
    return Verdict(name, JUDGE, rubric.hash, "text", label=value)
