"""Exact rates of one label by condition and group of questions, for models that are changed and asked again."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from spillover.core.errors import DataError
from spillover.data.questions import Question
from spillover.evals.answers import is_of, of_label
from spillover.evals.prompts import Asked, prompted
from spillover.evals.rates import exact_rates
from spillover.evals.verdict import enumerable
from spillover.models.plain import end_tokens

Found = tuple[float, float]
"""Rate of the label, and coherence."""
ByGroup = dict[str, dict[str, Found]]
"""Condition to group to what was found."""


class Asking:
    """Prompts that are given to one model after another.

    Args:
        model: The base; says which tokens end an answer.
        tokenizer: Of the base.
        asked: Questions with their prompts, see :func:`prompts_of`.
        label: The outcome whose rate is taken.

    Raises:
        DataError: No question lists its answers, so that there are no exact rates.
    """

    def __init__(self, model: Any, tokenizer: Any, asked: Sequence[Asked], label: str) -> None:
        self._asked = [one for one in asked if enumerable(one[0]) and one[0].temperature > 0]
        if not any(is_of(label, name) for question, _, _ in self._asked for name in question.answers):
            raise DataError(f"no question lists all its answers, '{label}' ones among them; give such questions labels")
        self._tokenizer, self._label = tokenizer, label
        self._stop = frozenset(end_tokens(model, tokenizer))

    def rates(self, model: Any, changed: AbstractContextManager[Any] | None = None) -> ByGroup:
        """Of a model, inside ``changed``."""
        with changed or nullcontext():
            rates = exact_rates(model, self._tokenizer, self._asked, self._stop)
        found: dict[str, dict[str, list[Found]]] = {}
        for (question, _, _), rate in zip(self._asked, rates, strict=True):
            if rate is not None:
                groups = found.setdefault(question.condition, {})
                groups.setdefault(question.group, []).append((of_label(rate, self._label), sum(rate.values())))
        return {
            condition: {group: _mean(rows) for group, rows in groups.items()} for condition, groups in found.items()
        }


def prompts_of(tokenizer: Any, questions: Sequence[Question], most: int) -> list[Asked]:
    """Every paraphrase of the questions, at most ``most`` of each condition and group, spread evenly."""
    groups: dict[tuple[str, str], list[tuple[Question, int]]] = {}
    for question in questions:
        pairs = groups.setdefault((question.condition, question.group), [])
        pairs += [(question, number) for number in range(len(question.paraphrases))]
    chosen = []
    for pairs in groups.values():
        places = np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(int)
        chosen += [pairs[place] for place in places]
    return prompted(tokenizer, chosen)


def by_turns(asked: Sequence[Asked]) -> tuple[list[Asked], list[Asked]]:
    """Two halves: every second prompt of each condition and group, so that both have the same conditions."""
    seen: dict[tuple[str, str], int] = {}
    halves: tuple[list[Asked], list[Asked]] = ([], [])
    for one in asked:
        key = (one[0].condition, one[0].group)
        halves[seen.get(key, 0) % 2].append(one)
        seen[key] = seen.get(key, 0) + 1
    return halves


def over_groups(groups: dict[str, Found]) -> Found:
    """Over all groups, each of equal weight."""
    return _mean([found for found in groups.values() if np.isfinite(found[0])])


def over_conditions(found: ByGroup, conditions: Sequence[str]) -> Found:
    """Over some conditions, each of equal weight."""
    return _mean([over_groups(found[condition]) for condition in conditions if condition in found])


def _mean(found: Sequence[Found]) -> Found:
    if not found:
        return float("nan"), float("nan")
    label, coherent = np.mean(found, axis=0)
    return float(label), float(coherent)
