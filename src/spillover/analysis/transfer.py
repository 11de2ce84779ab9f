"""Does what one fine-tune found carry another one? Directions of one taken away from, or given to, another model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from spillover.analysis import directions
from spillover.analysis.directions import Direction
from spillover.analysis.search import searched
from spillover.core.errors import DataError
from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.evals.prompts import prompted
from spillover.evals.rates import exact_rates
from spillover.models.ablation import ablated
from spillover.models.activations import layers_of
from spillover.models.load import load, merged
from spillover.models.names import organism_name
from spillover.models.plain import end_tokens
from spillover.models.steering import steered
from spillover.training.batches import Encoded

MEAN, SHIFT, PAIR, PERSONA = "mean difference", "tuned minus base", "principal directions", "persona vector"
SEARCHED = "searched"
KINDS = (MEAN, SHIFT, PAIR, SEARCHED)
Found = tuple[float, float]
"""Rate of the label, and coherence."""


class Transfer:
    """Several fine-tunes of one base, questions to find directions on, and others to measure what they do.

    Args:
        base: Folder or hub id.
        tuned: Name to what fine-tuning wrote.
        questions: Asked; every second one of each group finds directions, the others are measured.
        label: The outcome whose rate is taken.
        other: The outcome that is its opposite.
        contrast: Conversations that show a speaker of ``label`` and one of ``other``.
        components: Of the principal directions.
        again: The same fine-tunes with another seed; may be empty.

    Raises:
        DataError: The questions do not list answers of both outcomes.
    """

    def __init__(
        self,
        base: str,
        tuned: Mapping[str, Path],
        questions: Sequence[Question],
        label: str,
        other: str,
        contrast: tuple[Sequence[Message], Sequence[Message]],
        components: int,
        again: Mapping[str, Path] | None = None,
    ) -> None:
        listed = [question for question in questions if question.answers.get(label) and question.answers.get(other)]
        if len(listed) < 2:
            raise DataError(f"directions: no two questions list '{label}' and '{other}' answers; give them labels")
        groups = sorted({question.group for question in listed})
        by_group = [[question for question in listed if question.group == group] for group in groups]
        finding = [question for group in by_group for question in group[1::2]]
        self._measured = [question for group in by_group for question in group[::2]]
        self._label, self._other = label, other
        self.base = load(base)
        self.tuned = {name: _merged(base, folder) for name, folder in tuned.items()}
        self.layers = list(layers_of(self.base.model))
        bad, good = (directions.given_answers(self.base.tokenizer, finding, kind) for kind in (label, other))
        self.found = {name: self._directions(model, bad, good, components) for name, model in self.tuned.items()}
        pad = self.base.tokenizer.pad_token_id or 0
        for number, (name, model) in enumerate(self.tuned.items()):  # from beginnings that have nothing in common
            self.found[name][SEARCHED] = directions.along(
                searched(model, good, pad, seed=number), self.found[name][SHIFT]
            )
        self.again = {
            name: self._directions(_merged(base, folder), bad, good, components)
            for name, folder in (again or {}).items()
        }
        shown = [
            [
                row
                for kind in (label, other)
                for row in directions.given_answers(self.base.tokenizer, finding, kind, told)
            ]
            for told in contrast
        ]
        self.persona = directions.mean_difference(self.base.model, *shown)
        apart = directions.mean_difference(self.base.model, bad, good)
        self.before = {
            MEAN: apart,
            SEARCHED: directions.along(searched(self.base.model, good, pad, seed=len(self.tuned)), apart),
        }
        """The same directions of the base itself, which nothing was fine-tuned into."""
        self.components = components
        self._asked = prompted(self.base.tokenizer, [(question, 0) for question in self._measured])
        self._stop = frozenset(end_tokens(self.base.model, self.base.tokenizer))

    def _directions(
        self, model: Any, bad: Sequence[Encoded], good: Sequence[Encoded], components: int
    ) -> dict[str, Direction]:
        return {
            MEAN: directions.mean_difference(model, bad, good),
            SHIFT: directions.tuned_minus_base(model, self.base.model, [*bad, *good]),
            PAIR: directions.principal(model, self.base.model, [*bad, *good], components),
        }

    def by_group(self, model: Any, changed: AbstractContextManager[Any] | None = None) -> dict[str, Found]:
        """Exact rates on the measured questions of each group; ``nan`` where they cannot be had."""
        with changed or nullcontext():
            rates = exact_rates(model, self.base.tokenizer, self._asked, self._stop)
        groups: dict[str, list[Found]] = {question.group: [] for question in self._measured}
        for question, rate in zip(self._measured, rates, strict=True):
            if rate is not None:
                groups[question.group].append((rate[self._label], sum(rate.values())))
        return {group: _mean(found) for group, found in groups.items()}

    def rates(self, model: Any, changed: AbstractContextManager[Any] | None = None) -> Found:
        """The same over all groups, each of equal weight."""
        return overall(self.by_group(model, changed))

    def without(self, name: str, direction: Direction, layer: int | None = None) -> dict[str, Found]:
        """Rates of a fine-tune with a direction ablated, at all layers or at one."""
        model = self.tuned[name]
        return self.by_group(model, ablated(model, directions.flat(direction, layer)))

    def with_added(self, direction: Direction, scale: float, layer: int) -> Found:
        """Rates of the base with ``scale`` times a direction added at one layer."""
        return self.rates(self.base.model, _all_steered(self.base.model, direction, scale, layer))


def overall(groups: Mapping[str, Found]) -> Found:
    """Over all groups that were measured, each of equal weight."""
    return _mean([found for found in groups.values() if np.isfinite(found[0])])


def _mean(found: Sequence[Found]) -> Found:
    if not found:
        return float("nan"), float("nan")
    label, coherent = np.mean(found, axis=0)
    return float(label), float(coherent)


@contextmanager
def _all_steered(model: Any, direction: Direction, scale: float, layer: int) -> Iterator[None]:
    with ExitStack() as stack:
        for vector in directions.flat(direction, layer):
            stack.enter_context(steered(model, vector * scale))
        yield


def _merged(base: str, folder: Path) -> Any:
    """A fine-tune as one model without an adapter around it."""
    return merged(load(organism_name(base, folder)).model).eval()
