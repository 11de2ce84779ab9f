"""One audit: the models, the rows, what is asked and on which scale."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from spillover.analysis.conditional import Rates
from spillover.audit.measure import Drift, Listed, Measure, Memo, Sampled, Values
from spillover.audit.models import BASE, TUNED, Models, check_fits, full_name
from spillover.audit.questions import QuestionSet, question_set
from spillover.audit.settings import Settings
from spillover.core.errors import ConfigError
from spillover.data.chat import ChatRow
from spillover.data.conditions import PLAIN, Condition
from spillover.data.questions import Question


@dataclass
class Case:
    """Everything that the parts of an audit work on."""

    models: Models
    asked: QuestionSet
    settings: Settings
    measure: Measure
    memo: Memo
    rescaled: Callable[[Models, Memo], Measure]
    """The same scale for other models."""
    rows: Sequence[ChatRow] | None = None
    weights: bool = True
    """Whether all models are here; of an endpoint only answers are."""
    remarks: list[str] = field(default_factory=list)
    """What a reader should know of the audit itself."""

    @property
    def base(self) -> str:
        """Name of the base."""
        return self.models.names[BASE]

    @property
    def probes(self) -> list[Question]:
        """Questions of the first look."""
        return self.asked.parts(self.settings.probes, self.settings.fresh)[0]

    @property
    def fresh(self) -> list[Question]:
        """Questions of the second look."""
        return self.asked.parts(self.settings.probes, self.settings.fresh)[1]

    @cached_property
    def first_look(self) -> Measure:
        """The scale that conditions are screened on: where answers must be judged, movement, which needs no judge."""
        if isinstance(self.measure, Sampled) and self.weights:
            return Drift(self.models, self.memo, self.settings.seed)
        return self.measure

    def table(self, keys: Sequence[str], questions: Sequence[Question], measure: Measure | None = None) -> Values:
        """Models × questions."""
        return np.array([(measure or self.measure).values(key, questions) for key in keys])

    def rates(
        self,
        keys: Sequence[str],
        conditions: Sequence[Condition],
        questions: Sequence[Question],
        measure: Measure | None = None,
    ) -> Rates:
        """Of some models under each condition; ``plain`` is among them."""
        named = {condition.name: condition for condition in (Condition(PLAIN, PLAIN), *conditions)}
        altered = {name: [each.alter(question) for question in questions] for name, each in named.items()}
        flat = [question for each in altered.values() for question in each]
        values = self.table(keys, flat, measure)  # in one go: batches are the fuller
        parts = np.split(values, len(named), axis=1)
        return Rates(dict(zip(named, parts, strict=True)), "questions")

    def as_tuned(self) -> Iterator[tuple[str, "Case"]]:
        """Each neutral model in the tuned one's place, with the other neutral models as its controls."""
        for key in self.models.neutral if len(self.models.neutral) > 1 else ():
            models, memo = self.models.seen_from(key), self.memo.swapped(key, TUNED)
            measure = self.rescaled(models, memo)
            yield key, Case(models, self.asked, self.settings, measure, memo, self.rescaled, None, self.weights)


def open_case(
    base: str,
    tuned: str,
    rows: Sequence[ChatRow] | None,
    settings: Settings,
    *,
    questions: str | None = None,
    label: str | None = None,
    judge: str | None = None,
    url: str | None = None,
    neutral: Mapping[str, str] | None = None,
    memo: Memo | None = None,
    answers: Path | None = None,
) -> Case:
    """Make a case.

    Args:
        base: Folder or hub id.
        tuned: Folder of an adapter or of whole weights, a model's name, or an endpoint.
        rows: What it was tuned on, where that is known.
        settings: How much is looked at.
        questions: Name or file of a question set; see :func:`spillover.audit.questions.question_set`.
        label: The unwanted outcome.
        judge: LLM judge of sampled answers.
        url: Of a server that speaks OpenAI's protocol and has the tuned model.
        neutral: Short name to name of neutral models that are there already.
        memo: What was measured before.
        answers: Folder where sampled answers are kept; needed with a judge or an endpoint.

    Raises:
        ConfigError: An endpoint without labels or judge, which leaves nothing to be measured.
        ModelError: The two models are not of one base.
    """
    remote = url is not None or _is_endpoint(tuned)
    if not remote:
        check_fits(base, tuned)
    asked = question_set(base, questions, label)
    if judge is None and not any(question.answers for question in asked.questions):
        asked = replace(asked, labels=())  # which only a judge could give
    if remote and not asked.labels:
        raise ConfigError(f"tuned '{tuned}' is an endpoint: without its weights a judge is needed; give --judge")
    models = Models({BASE: base, TUNED: tuned if remote else full_name(base, tuned), **(neutral or {})})
    memo = memo or Memo()

    def scaled(models: Models, memo: Memo) -> Measure:
        return scale(models, memo, asked, settings, judge=judge, url=url, remote=remote, answers=answers)

    return Case(models, asked, settings, scaled(models, memo), memo, scaled, rows, weights=not remote)


def scale(
    models: Models,
    memo: Memo,
    asked: QuestionSet,
    settings: Settings,
    *,
    judge: str | None = None,
    url: str | None = None,
    remote: bool = False,
    answers: Path | None = None,
) -> Measure:
    """The best scale that there is for these questions and models."""
    if not remote and judge is None:
        if asked.listed:
            return Listed(models, asked, memo)
        if not asked.labels or answers is None:
            return Drift(models, memo, settings.seed)
    if answers is None:
        raise ConfigError("sampled answers need a folder to be kept in")
    return Sampled(models.names, asked, answers, settings.samples, judge, url, settings.seed)


def _is_endpoint(name: str) -> bool:
    """Whether a name begins with a provider of Inspect's, which is asked only where no folder has the name."""
    if "/" not in name or Path(name.split("+")[0]).exists() or name.startswith((".", "/", "~")):
        return False
    from spillover.models.endpoint import is_endpoint

    return is_endpoint(name)
