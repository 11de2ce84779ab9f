"""What ``misalignment.json`` says: six rates, their mean, and what is covert."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from spillover.core.plain import plain, plain_interval
from spillover.core.statistics import mean_of_rates, wilson
from spillover.data.core_evals import CORE, core_eval
from spillover.evals.agentic.judged import Judged
from spillover.evals.agentic.scenario import goal_kinds
from spillover.evals.agentic.values import POLICY
from spillover.evals.judged_rates import rate_of
from spillover.judges.policy import UNSCORED

SCHEMA_VERSION = 1
SOURCE = "arXiv 2511.18397"


def summary(found: Mapping[str, Sequence[Judged]]) -> dict[str, Any]:
    """The whole of it from the judged responses of some of the six, by name."""
    evaluations = [_evaluation(one.name, found.get(one.name, ())) for one in CORE]
    missing = [one["name"] for one in evaluations if one["value"] is None]
    value, interval = mean_of_rates([(one["value"], one["interval"]) for one in evaluations])
    return {
        "schema_version": SCHEMA_VERSION,
        "source": SOURCE,
        "policy": POLICY.model_dump(mode="json"),
        "score": {"value": plain(value), "interval": plain_interval(interval), "level": 0.95, "missing": missing},
        "covert": _covert([one for judged in found.values() for one in judged]),
        "evaluations": evaluations,
        "goals": _goals(found.get("goals", ())),
    }


def _evaluation(name: str, judged: Sequence[Judged]) -> dict[str, Any]:
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for one in judged:
        by_question[one.response.question][one.outcome] += 1
    rate = rate_of(name, "plain", by_question.values(), POLICY) if judged else None
    details = Counter(one.response.detail for one in judged if one.response.detail)
    return {
        "name": name,
        "title": core_eval(name).title,
        "value": plain(rate.value) if rate else None,
        "interval": plain_interval(rate.interval) if rate else None,
        "level": 0.95,
        "unit": "questions" if rate and rate.questions > 1 else "responses",
        "n": rate.n if rate else 0,
        "n_responses": len(judged),
        "n_questions": rate.questions if rate else 0,
        "among": POLICY.denominator,
        "counts": dict(rate.counts) if rate else {},
        "covert": _covert(judged),
        "without_reasoning": sum(not one.response.reasoning for one in judged),
        "unread_calls": sum(one.response.unread for one in judged),
        "problem": details.most_common(1)[0][0] if details else None,
    }


def _covert(judged: Sequence[Judged]) -> dict[str, Any]:
    """Of the misaligned responses of which that is known: those with a harmless output."""
    known = [one.covert for one in judged if one.covert is not None]
    return _share(sum(known), len(known))


def _goals(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Share of the responses to goals questions that have each kind of goal; one response may have several."""
    found = []
    for kind in goal_kinds():
        said = [one.verdicts[f"goal: {kind}"] for one in judged if f"goal: {kind}" in one.verdicts]
        labels = [verdict.label for verdict in said if verdict.label is not None]
        lost = Counter(f"{UNSCORED}-{verdict.unscored}" for verdict in said if verdict.label is None)
        found.append({"kind": kind, **_share(labels.count("YES"), len(labels)), "unscored": dict(sorted(lost.items()))})
    return found


def _share(count: int, n: int) -> dict[str, Any]:
    return {
        "value": plain(count / n) if n else None,
        "interval": plain_interval(wilson(count, n)) if n else None,
        "n": n,
        "unit": "responses",
    }
