"""Curves, numbers and matrices of :class:`spillover.analysis.transfer.Transfer`."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from spillover.analysis import directions
from spillover.analysis.directions import Direction
from spillover.analysis.findings import Findings
from spillover.analysis.matrices import Cell, matrix
from spillover.analysis.transfer import KINDS, PAIR, PERSONA, SHIFT, Found, Transfer, overall
from spillover.models.ablation import ablated

PLAIN, AGAIN, BASES, SAME_LAYERS = "not ablated", "its own, another seed", "base's own", "random, same layers"
COHERENT = 0.5
"""Where fewer answers than this are coherent, a change counts for nothing: it broke the model."""
LITTLE = 0.05
"""A rate that fine-tuning raised by less than this leaves nothing to be removed."""
STEERED = 2
"""Random vectors that the base is steered by, at most; each stands for layers × scales of rates."""
LAYER = "layer (-1: embeddings)"
Groups = dict[str, Found]
Cells = dict[str, dict[str, list[Groups]]]
"""Fine-tune, what was ablated in it, to rates by group; several for several draws."""


def measure(
    transfer: Transfer, scales: Sequence[float], draws: int, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    """What :func:`spillover.analysis.stages.write_measured` takes."""
    report = Findings()
    before = {name: transfer.by_group(model) for name, model in transfer.tuned.items()}
    plain = transfer.rates(transfer.base.model)
    for name, (rate, coherent) in {"base": plain, **{name: overall(found) for name, found in before.items()}}.items():
        report.say("rate before", name, [rate])
        report.say("coherence before", name, [coherent])
    controls = {
        count: [directions.random_direction(transfer.base.model, count, seed) for seed in range(draws)]
        for count in sorted({1, transfer.components})
    }
    _cosines(transfer, controls, report)
    progress(1, 4)
    share = Removed(plain, {name: overall(found) for name, found in before.items()})
    _ablations(transfer, controls, before, share, report)
    progress(2, 4)
    report.curves.append(
        _curve(
            "single",
            "Ablated at one layer only",
            LAYER,
            "share removed, of the rate among coherent answers",
            _single(transfer, share),
        )
    )
    progress(3, 4)
    _steering(transfer, scales, draws, report)
    progress(4, 4)
    remarks = [] if transfer.again else ["One seed only: nothing is said about directions between seeds."]
    if share.nothing:
        remarks.append(
            f"{', '.join(share.nothing)}: fine-tuning added less than {100 * LITTLE:g} points to the rate among "
            "coherent answers, or too few are coherent; what share of it an ablation removes is not measured."
        )
    return {"curves": report.curves, "numbers": report.numbers, "remarks": remarks, "matrices": report.matrices}


class Removed:
    """The share of what fine-tuning added to the rate among coherent answers that an ablation takes away again.

    Among coherent answers, as in arXiv 2502.17424: any ablation costs coherence, and with it bad answers.
    """

    def __init__(self, base: Found, tuned: Mapping[str, Found]) -> None:
        self._base = _among_coherent(base)
        self._tuned = {name: _among_coherent(found) for name, found in tuned.items()}

    def __call__(self, name: str, left: Groups) -> float:
        added = self._tuned[name] - self._base
        return (self._tuned[name] - _among_coherent(overall(left))) / added if added >= LITTLE else float("nan")

    @property
    def nothing(self) -> list[str]:
        """Fine-tunes that added too little for a share of it to be taken away."""
        return [name for name, rate in self._tuned.items() if not rate - self._base >= LITTLE]


def _among_coherent(found: Found) -> float:
    rate, coherent = found
    return rate / coherent if coherent >= COHERENT else float("nan")


def _cosines(transfer: Transfer, controls: Mapping[int, list[Direction]], report: Findings) -> None:
    names = list(transfer.tuned)
    for kind in KINDS:
        against: dict[str, list[Direction]] = {name: [found[kind]] for name, found in transfer.found.items()}
        columns = {name: {one: against[one] for one in names} for name in names}
        for name in names:
            columns[name][AGAIN] = [found[kind]] if kind in (found := transfer.again.get(name, {})) else []
            columns[name][BASES] = [transfer.before[kind]] if kind in transfer.before else []
            columns[name][PERSONA] = [transfer.persona] if kind != PAIR else []
            count = transfer.components if kind == PAIR else 1
            columns[name][random_name(count)] = controls[count]
        cells: dict[str, dict[str, Cell]] = {
            name: {
                column: [(directions.cosine(transfer.found[name][kind], one), float("nan")) for one in several]
                for column, several in row.items()
                if any(columns[other][column] for other in names)
            }
            for name, row in columns.items()
        }
        unit = "overlap" if kind == PAIR else "cosine"
        report.matrices.append(matrix(f"cosine-{kind}", f"{unit.capitalize()}, mean over layers: {kind}", unit, cells))
        pairs = [cells[one][two][0][0] for number, one in enumerate(names) for two in names[number + 1 :]]
        report.say("cosine between fine-tunes", kind, pairs)
        for column, said in {AGAIN: "cosine between seeds", BASES: "cosine with the untuned base's"}.items():
            if column in cells[names[0]]:
                report.say(said, kind, [draw[0] for row in cells.values() for draw in row[column]])
        if kind != PAIR:
            report.say("cosine with the persona vector", kind, [row[PERSONA][0][0] for row in cells.values()])
    for count, drawn in controls.items():
        values = [directions.cosine(drawn[0], one) for one in drawn[1:]]
        report.say("cosine between fine-tunes", random_name(count), values)


def _ablations(
    transfer: Transfer,
    controls: Mapping[int, list[Direction]],
    before: Mapping[str, Groups],
    share: Removed,
    report: Findings,
) -> None:
    """Every direction out of every fine-tune, at every layer at once: the transfer matrices and their means."""
    names = list(transfer.tuned)
    drawn = {
        count: {name: [transfer.without(name, one) for one in several] for name in names}
        for count, several in controls.items()
    }
    persona = {name: transfer.without(name, transfer.persona) for name in names}

    @cache
    def random(name: str, count: int, layers: tuple[int, ...]) -> list[Groups]:
        if set(layers) == set(transfer.layers):
            return drawn[count][name]
        return [transfer.without(name, {layer: one[layer] for layer in layers}) for one in controls[count]]

    def say(series: str, left: Sequence[tuple[str, Groups]]) -> None:
        report.say("share removed", series, [share(name, found) for name, found in left])
        report.say("coherence left", series, [overall(found)[1] for _, found in left])

    for kind in KINDS:
        cells: Cells = {}
        matched: list[tuple[str, Groups]] = []
        for name in names:
            cells[name] = {PLAIN: [before[name]]}
            cells[name] |= {one: [transfer.without(name, transfer.found[one][kind])] for one in names}
            if kind in (again := transfer.again.get(name, {})):
                cells[name][AGAIN] = [transfer.without(name, again[kind])]
            if kind in transfer.before:
                cells[name][BASES] = [transfer.without(name, transfer.before[kind])]
            count = transfer.components if kind == PAIR else 1
            control = random(name, count, tuple(transfer.found[name][kind]))
            cells[name] |= {PERSONA: [persona[name]], SAME_LAYERS: control}
            matched += [(name, one) for one in control]
        report.matrices += [
            matrix(
                f"{kind}-{group}",
                f"Rate left, {kind} ablated, {group.replace('-', ' ')}",
                "rate",
                {
                    name: {what: [one[group] for one in several] for what, several in row.items()}
                    for name, row in cells.items()
                },
                "coherent",
            )
            for group in next(iter(before.values()))
        ]
        say(f"{kind}, its own", [(name, cells[name][name][0]) for name in names])
        say(
            f"{kind}, another fine-tune's",
            [(two, cells[two][one][0]) for one, two in product(names, names) if one != two],
        )
        for column in (AGAIN, BASES):
            if column in cells[names[0]]:
                say(f"{kind}, {column}", [(name, cells[name][column][0]) for name in names])
        say(f"{SAME_LAYERS} as {kind}", matched)
        base = transfer.base.model
        kept = [
            transfer.rates(base, ablated(base, directions.flat(found[kind])))[1] for found in transfer.found.values()
        ]
        report.say("base's coherence, ablated", kind, kept)
    say(PERSONA, list(persona.items()))
    for count, by_name in drawn.items():
        say(random_name(count), [(name, one) for name, several in by_name.items() for one in several])


def _single(transfer: Transfer, share: Removed) -> list[dict[str, Any]]:
    """Each fine-tune's direction at one layer of the next fine-tune."""
    names = list(transfer.tuned)
    series = []
    for kind in (*KINDS, PERSONA):
        points = []
        for layer in transfer.layers:
            cells = [
                share(two, transfer.without(two, direction, layer))
                for one, two in zip(names, [*names[1:], names[0]], strict=True)
                if layer in (direction := _of(transfer, one, kind))
            ]
            if cells:
                points.append({"x": layer, "values": [float(np.nanmean(cells)) if np.isfinite(cells).any() else None]})
        series.append({"name": kind, "points": points})
    return series


def _steering(transfer: Transfer, scales: Sequence[float], draws: int, report: Findings) -> None:
    """The base with each fine-tune's shift added, at each layer and scale; random vectors of equal length beside."""
    shifts = [found[SHIFT] for found in transfer.found.values()]
    first = shifts[0]
    sources = {
        SHIFT: shifts,
        "random": [
            {
                layer: [vector.random_like(100 * seed + layer + 1) for vector in vectors]
                for layer, vectors in first.items()
            }
            for seed in range(min(draws, STEERED))
        ],
    }
    for source, several in sources.items():
        cells = {
            layer: {
                scale: [transfer.with_added(one, scale, layer) for one in several if layer in one] for scale in scales
            }
            for layer in first
        }
        for which, (suffix, label) in enumerate((("", "rate"), (", coherence", "coherent rate"))):
            series = [
                {
                    "name": f"layer {layer}",
                    "points": [
                        {"x": scale, "values": [_or_none(found[which]) for found in at]} for scale, at in points.items()
                    ],
                }
                for layer, points in cells.items()
            ]
            what = "random vectors" if source == "random" else "the mean shift of a fine-tune"
            title = f"The base, steered by {what}{suffix}"
            metric = f"steering-{source.replace(' ', '-')}{'-coherent' if suffix else ''}"
            report.curves.append(_curve(metric, title, "multiple of the shift's own length", label, series))
        coherent = [
            float(np.mean(at, axis=0)[0])
            for points in cells.values()
            for at in points.values()
            if np.mean(at, axis=0)[1] >= COHERENT
        ]
        best = max(coherent, default=float("nan"))
        report.say("rate of the steered base, best coherent layer and scale", source, [best])


def random_name(count: int) -> str:
    """Of the control for directions of that many vectors a layer."""
    return f"random, {count} a layer"


def _of(transfer: Transfer, name: str, kind: str) -> Direction:
    return transfer.persona if kind == PERSONA else transfer.found[name][kind]


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _curve(metric: str, title: str, x: str, y: str, series: list[dict[str, Any]]) -> dict[str, Any]:
    return {"metric": metric, "title": title, "x_label": x, "y_label": y, "series": series}
