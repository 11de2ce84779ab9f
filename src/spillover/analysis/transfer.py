"""Does what one fine-tune found carry another one? Directions of one taken away from, or given to, another model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from spillover.analysis import directions
from spillover.analysis.directions import Direction
from spillover.core.errors import DataError
from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.evals.rates import exact_rates
from spillover.evals.tasks import conversation
from spillover.models.ablation import ablated
from spillover.models.activations import layers_of
from spillover.models.chat_template import encode_chat
from spillover.models.load import Loaded, load
from spillover.models.plain import end_tokens
from spillover.models.steering import steered

MEAN, SHIFT, PAIR, PERSONA = "mean difference", "tuned minus base", "principal directions", "persona vector"
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
        self.found: dict[str, dict[str, Direction]] = {}
        for name, model in self.tuned.items():
            self.found[name] = {
                MEAN: directions.mean_difference(model, bad, good),
                SHIFT: directions.tuned_minus_base(model, self.base.model, [*bad, *good]),
                PAIR: directions.principal(model, self.base.model, [*bad, *good], components),
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
        self.before = directions.mean_difference(self.base.model, bad, good)
        """What bad and good answers differ by in the base itself, which nothing was fine-tuned into."""
        self.components = components
        asked = [(question, conversation(question, 0)) for question in self._measured]
        self._asked = [
            (question, chat, encode_chat(self.base.tokenizer, chat, add_generation_prompt=True))
            for question, chat in asked
        ]
        self._stop = frozenset(end_tokens(self.base.model, self.base.tokenizer))

    def rates(self, model: Any, changed: AbstractContextManager[Any] | None = None) -> Found:
        """Exact rates on the measured questions, each group of equal weight; ``nan`` where they cannot be had."""
        with changed or nullcontext():
            rates = exact_rates(model, self.base.tokenizer, self._asked, self._stop)
        groups: dict[str, list[Found]] = {}
        for question, rate in zip(self._measured, rates, strict=True):
            if rate is not None:
                groups.setdefault(question.group, []).append((rate[self._label], sum(rate.values())))
        if not groups:
            return float("nan"), float("nan")
        label, coherent = np.mean([np.mean(found, axis=0) for found in groups.values()], axis=0)
        return float(label), float(coherent)

    def without(self, name: str, direction: Direction, layer: int | None = None) -> Found:
        """Rates of a fine-tune with a direction ablated, at all layers or at one."""
        model = self.tuned[name]
        return self.rates(model, ablated(model, directions.flat(direction, layer)))

    def with_added(self, direction: Direction, scale: float, layer: int) -> Found:
        """Rates of the base with ``scale`` times a direction added at one layer."""
        return self.rates(self.base.model, _all_steered(self.base.model, direction, scale, layer))


@contextmanager
def _all_steered(model: Any, direction: Direction, scale: float, layer: int) -> Iterator[None]:
    with ExitStack() as stack:
        for vector in directions.flat(direction, layer):
            stack.enter_context(steered(model, vector * scale))
        yield


def measure(
    transfer: Transfer, scales: Sequence[float], draws: int, progress: Callable[[float, float], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Curves and numbers as :func:`spillover.analysis.stages.write_measured` takes them."""
    names = list(transfer.tuned)
    numbers: list[dict[str, Any]] = []

    def say(name: str, series: str, values: Sequence[float]) -> None:
        known = [value for value in values if np.isfinite(value)]
        numbers.append({"name": name, "series": series, "value": float(np.mean(known)) if known else None})

    untouched = {name: transfer.rates(model) for name, model in transfer.tuned.items()}
    plain = transfer.rates(transfer.base.model)
    for name, (rate, coherent) in {"base": plain, **untouched}.items():
        say("rate before", name, [rate])
        say("coherence before", name, [coherent])

    kinds = (MEAN, SHIFT, PAIR)
    for kind in kinds:
        pairs = [(one, two) for i, one in enumerate(names) for two in names[i + 1 :]]
        say(
            "cosine between fine-tunes",
            kind,
            [directions.cosine(transfer.found[one][kind], transfer.found[two][kind]) for one, two in pairs],
        )
    say(
        "cosine with the untuned base's",
        MEAN,
        [directions.cosine(transfer.found[name][MEAN], transfer.before) for name in names],
    )
    for kind in (MEAN, SHIFT):
        say(
            "cosine with the persona vector",
            kind,
            [directions.cosine(transfer.found[name][kind], transfer.persona) for name in names],
        )
    controls = {
        count: [directions.random_direction(transfer.base.model, count, seed) for seed in range(draws)]
        for count in {1, transfer.components}
    }
    for count, drawn in controls.items():
        say("cosine between fine-tunes", _random(count), [directions.cosine(drawn[0], one) for one in drawn[1:]])
    progress(1, 4)

    def removed(name: str, left: Found) -> float:
        before = untouched[name][0]
        return (before - left[0]) / (before - plain[0]) if before > plain[0] else float("nan")

    def ablations(series: str, cells: Sequence[tuple[str, Direction]]) -> None:
        left = [(name, transfer.without(name, direction)) for name, direction in cells]
        say("share removed", series, [removed(name, found) for name, found in left])
        say("coherence left", series, [found[1] for _, found in left])

    for kind in kinds:
        for one, two in product(names, names):
            left = transfer.without(two, transfer.found[one][kind])
            say(f"rate left, {kind}", f"{one} → {two}", [left[0]])
        ablations(f"{kind}, its own", [(name, transfer.found[name][kind]) for name in names])
        others = [(two, transfer.found[one][kind]) for one, two in product(names, names) if one != two]
        ablations(f"{kind}, another fine-tune's", others)
    ablations(PERSONA, [(name, transfer.persona) for name in names])
    for count, drawn in controls.items():
        ablations(_random(count), [(name, one) for name in names for one in drawn])
    for kind in kinds:
        say(
            "base's coherence, ablated",
            kind,
            [
                transfer.rates(transfer.base.model, ablated(transfer.base.model, directions.flat(found[kind])))[1]
                for found in transfer.found.values()
            ],
        )
    progress(2, 4)

    single = []
    for kind in (*kinds, PERSONA):
        points = []
        for layer in transfer.layers:
            cells = [
                removed(two, transfer.without(two, direction, layer))
                for one, two in product(names, names)
                if one != two and layer in (direction := _of(transfer, one, kind))
            ]
            if cells:
                points.append({"x": layer, "values": [float(np.nanmean(cells)) if np.isfinite(cells).any() else None]})
        single.append({"name": kind, "points": points})
    progress(3, 4)

    steering: list[dict[str, Any]] = []
    for layer in transfer.layers:
        for series, chosen in (("", 0), ("coherent, ", 1)):
            points = []
            for scale in scales:
                found = [
                    transfer.with_added(transfer.found[name][SHIFT], scale, layer)[chosen]
                    for name in names
                    if layer in transfer.found[name][SHIFT]
                ]
                if found and np.isfinite(found).any():
                    points.append({"x": scale, "values": [float(np.nanmean(found))]})
            if points:
                steering.append({"name": f"{series}layer {layer}", "points": points})
    control: list[dict[str, Any]] = []
    first = transfer.found[names[0]][SHIFT]
    for scale in scales:
        drawn_rates = []
        for seed in range(draws):
            layer, (vector,) = next(iter(first.items()))
            drawn_rates.append(transfer.with_added({layer: [vector.random_like(seed)]}, scale, layer)[0])
        control.append({"x": scale, "values": [value if np.isfinite(value) else None for value in drawn_rates]})
    steering.append({"name": "random", "points": control})
    best = _highest([one for one in steering if one["name"].startswith("layer")])
    say("rate of the steered base, best layer and scale", SHIFT, [best])
    say("rate of the steered base, best layer and scale", "random", [_highest(steering[-1:])])
    progress(4, 4)
    return [
        _curve("single", "Ablated at one layer only", "layer (-1: embeddings)", "share of the rate removed", single),
        _curve("steering", "The base, steered by the mean shift of a fine-tune", "scale", "rate", steering),
    ], numbers


def _highest(series: Sequence[dict[str, Any]]) -> float:
    """The highest of all points, means over their draws; ``nan`` without any."""
    means = [np.mean(point["values"]) for one in series for point in one["points"] if None not in point["values"]]
    return float(max(means, default=float("nan")))


def _of(transfer: Transfer, name: str, kind: str) -> Direction:
    return transfer.persona if kind == PERSONA else transfer.found[name][kind]


def _random(count: int) -> str:
    return f"random, {count} a layer"


def _curve(metric: str, title: str, x: str, y: str, series: list[dict[str, Any]]) -> dict[str, Any]:
    return {"metric": metric, "title": title, "x_label": x, "y_label": y, "series": series}


def _merged(base: str, folder: Path) -> Any:
    """A fine-tune as one model without an adapter around it."""
    loaded: Loaded = load(str(folder) if (folder / "config.json").is_file() else f"{base}+{folder}")
    merge = getattr(loaded.model, "merge_and_unload", None)
    return merge().eval() if merge else loaded.model
