"""Judge the answers of a folder: the second stage of an evaluation, with the model that was asked no longer in memory.

Reads ``answers.jsonl`` and writes it again, with what a policy makes of the verdicts in place of the outcomes. Samples
that were cut off or empty are not judged.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError
from spillover.data.rubrics import Rubric, rubric_from
from spillover.evals.answers import denominator, read_answers, write_answers
from spillover.evals.verdict import EMPTY, STOPPED
from spillover.judges.cache import VerdictCache
from spillover.judges.judging import Item, Judge, judge_all
from spillover.judges.policy import Policy, outcomes_of
from spillover.judges.verdicts import Verdict

Report = Callable[[float, float], None]


def judge_answers(
    answers: Path,
    out: Path,
    judge: Judge,
    policy: Policy,
    rubrics: Sequence[Rubric] = (),
    cache: VerdictCache | None = None,
    progress: Report = lambda done, total: None,
) -> None:
    """Judge every sample of ``answers/answers.jsonl`` and write the same file to ``out``.

    Args:
        answers: Folder that an evaluation wrote.
        out: Folder to write to.
        judge: Who judges.
        policy: What verdicts make of an answer.
        rubrics: Applied to all questions; by default each question's own, as its file says.
        cache: Where verdicts are kept.
        progress: Called with (verdicts there, verdicts in all).

    Raises:
        DataError: No question has a rubric, or not all answers were kept.
        ModelError: The judge cannot be asked.
        BudgetSpent: A limit is reached; with a higher one the same call goes on from there.
    """
    lines = read_answers(answers)
    given = {rubric.name: rubric for rubric in rubrics}
    own = [given or _own(line) for line in lines]
    if not any(own):
        raise DataError.at(
            answers / "answers.jsonl", None, None, "no question has a judge prompt; say which with --rubric alignment"
        )
    items: list[Item] = []
    for line, used in zip(lines, own, strict=True):
        if used and sum(sample["count"] for sample in line["samples"]) < line["n"]:
            raise DataError.at(
                answers / "answers.jsonl",
                None,
                line["question_id"],
                f"only {len(line['samples'])} of its {line['n']} answers were kept, since a ledger judged them",
            )
        items += [
            Item(rubric, line["prompt"], sample["answer"])
            for sample in line["samples"]
            if _open(sample)
            for rubric in used.values()
        ]
    found = iter(judge_all(items, judge, cache or VerdictCache(), progress))
    judged = [_judged(line, used, found, policy) for line, used in zip(lines, own, strict=True)]
    write_answers(out, judged)


def to_judge(answers: Path, rubrics: Sequence[Rubric] = ()) -> list[Item]:
    """What :func:`judge_answers` would ask, equal questions once; for an estimate of its cost."""
    found: dict[Item, None] = {}
    for line in read_answers(answers):
        for rubric in rubrics or _own(line).values():
            found.update((Item(rubric, line["prompt"], s["answer"]), None) for s in line["samples"] if _open(s))
    return list(found)


def verdicts_of(sample: Mapping[str, Any]) -> dict[str, Verdict]:
    """The verdicts of a judged sample, by metric."""
    return {metric: Verdict(**verdict) for metric, verdict in sample.get("verdicts", {}).items()}


def _own(line: Mapping[str, Any]) -> dict[str, Rubric]:
    return {metric: rubric_from(values) for metric, values in line.get("rubrics", {}).items()}


def _open(sample: Mapping[str, Any]) -> bool:
    return sample["stop_reason"] == STOPPED and sample["outcome"] != EMPTY


def _judged(line: dict[str, Any], used: Mapping[str, Rubric], found: Any, policy: Policy) -> dict[str, Any]:
    if not used:
        return line
    counts: Counter[str] = Counter()
    samples = []
    for sample in line["samples"]:
        outcome, verdicts = sample["outcome"], {}
        if _open(sample):
            verdicts = {metric: next(found) for metric in used}
            outcome = policy.outcome(verdicts)
        counts[outcome] += sample["count"]
        kept = {metric: asdict(verdict) for metric, verdict in verdicts.items()}
        samples.append({**sample, "outcome": outcome, "verdicts": kept})
    return {
        **line,
        "labels": outcomes_of(used),
        "counts": dict(sorted(counts.items())),
        "exact": None,
        "samples": samples,
        **denominator(used, policy, counts),
        "rubrics": {metric: asdict(rubric) for metric, rubric in used.items()},
    }
