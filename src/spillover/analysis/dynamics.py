"""Rotation, gradient and behaviour along a fine-tuning, and whether they change together (arXiv 2506.11613).

The paper finds that a rank-1 adapter turns, the gradient norm peaks and behaviour changes near one step; others find
that behaviour comes later, or that the turn is that of an empty assistant turn which the trainer appends to each row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spillover.analysis import change
from spillover.analysis.probes import Asker, encode_both, gradient_norms, two_losses
from spillover.analysis.stages import write_measured
from spillover.analysis.trajectory import (
    Snapshot,
    Walker,
    added_gram,
    directions_gram,
    lengths,
    local_cosine,
    principal,
    snapshots,
)
from spillover.core.errors import ConfigError, ModelError
from spillover.evals.tasks import QUESTION

Report = Callable[[float, float], None]
"""Called with (done, total)."""

TURN = 0.1
"""Smallest dip of the local cosine that is called a rotation."""
GRADIENT = float(np.log(1.2))
"""Smallest peak of the gradient norm, in logarithms: a fifth above what lies on both sides."""
FALL = 0.5
"""Smallest fall of the tail loss that is called learning it, as a share of what it was."""
STEP = "optimizer step"
COMPONENTS = 3


@dataclass
class Probed:
    """Everything that was read off along one fine-tuning; lists are by snapshot, ``nan`` where not measured."""

    steps: list[int]
    cosines: dict[str, list[float]]
    """Local cosine, by what it is of."""
    norms: dict[str, list[float]]
    gradient: list[float]
    answer: list[float]
    tail: list[float]
    asked: list[int]
    """Steps at which behaviour was measured."""
    rates: dict[str, list[float]]
    """By group of questions, one a step of ``asked``."""
    coherence: dict[str, list[float]]
    scaled: dict[str, dict[int, tuple[float, float]]]
    """By factor, step to (rate, coherence) in the first group outside the domain."""


def dynamics(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Measure one fine-tuning at its snapshots.

    ``config`` has the fields of :class:`spillover.experiments.measures.Dynamics`, and ``rows``, ``questions``,
    ``label``, ``warmup`` (in steps), and ``base`` where that is not made here; inputs ``tuned`` and ``base``. Writes
    ``measured.json``.

    Raises:
        ModelError: The fine-tuning has too few snapshots.
        ConfigError: A distance or interval is not a multiple of the distance of the snapshots.
    """
    base = str(inputs["base"]) if "base" in inputs else config["base"]
    path = snapshots(inputs["tuned"])
    if len(path) < 3:
        raise ModelError(f"'{inputs['tuned']}' has {len(path)} snapshots; three are the fewest that can turn")
    every = path[1].step - path[0].step
    for name, distances in (("ks", config["ks"]), ("rate_every", [config["rate_every"]])):
        if any(distance % every for distance in distances):
            raise ConfigError(f"{name}: {distances} must be multiples of the {every} steps between snapshots")
    found = _probe(base, path, every, config, inputs["tuned"], report)
    steps = when(found, config["ks"], every, config["warmup"])
    curves = _curves(found, config)
    curves[0]["marks"] = [{"name": name, "x": step} for name, step in steps.items() if not name.startswith("steepest")]
    missing = [where for where, rates in found.rates.items() if not np.isfinite(rates).any()]
    remarks = [f"{where}: there are no questions with listed answers, so no exact rates." for where in missing]
    write_measured(out, curves, _numbers(found, steps, config), remarks)


def when(found: Probed, ks: Sequence[int], every: int, warmup: int) -> dict[str, float | None]:
    """The step at which each series changes, by the rules of :mod:`spillover.analysis.change`; None for no change.

    Rotation: the dip of the local cosine of the middle distance k, whose values share data over 2k steps. Gradient
    peak: that of the logarithm of the gradient norm after the warm-up. Tail learnt: half of the fall of the tail loss,
    and 95 % of it, since its tokens may be learnt one after the other. Behaviour: half of the rise of each rate, and
    where it is steepest.
    """
    k = _middle(ks)
    turns = [-value for value in found.cosines[f"k = {k}"]]
    tail = [-value for value in found.tail]
    fall = -FALL * tail[0]
    steps = {
        "rotation": change.peak(found.steps, turns, lag=max(1, 2 * k // every), smallest=TURN),
        "gradient peak": change.peak(found.steps, list(np.log(found.gradient)), after=warmup, smallest=GRADIENT),
        "tail learnt": change.risen(found.steps, tail, smallest=fall),
        "tail learnt to 95 %": change.risen(found.steps, tail, share=0.95, smallest=fall),
    }
    for where, rates in found.rates.items():
        steps[f"behaviour, {where}"] = change.risen(found.asked, rates)
        steps[f"steepest, {where}"] = change.steepest(found.asked, rates)
    return steps


def trajectories(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Principal components of the paths of several fine-tunings of one base together (arXiv 2602.07852).

    What is decomposed is ΔW over all matrices. The sign of each component is such that the last snapshot of one
    fine-tuning, that which lies furthest along it, is positive. ``config`` has ``titles`` by input; the inputs are the
    fine-tunings. Writes ``measured.json``.
    """
    paths = {title: snapshots(inputs[name]) for name, title in config["titles"].items()}
    whole = [snapshot for path in paths.values() for snapshot in path]
    gram = added_gram(whole)
    places, shares = principal(gram, COMPONENTS)
    starts = np.cumsum([0, *(len(path) for path in paths.values())])
    ends = starts[1:] - 1
    origin = places[starts[0]]
    curves = []
    for number in range(places.shape[1]):
        along = places[:, number] - origin[number]
        along = along * np.sign(along[ends[np.argmax(np.abs(along[ends]))]] or 1.0)
        series = {
            title: dict(zip([one.step for one in path], along[start:], strict=False))
            for (title, path), start in zip(paths.items(), starts, strict=False)
        }
        curves.append(
            _curve(f"pc{number + 1}", f"Along component {number + 1}", f"component {number + 1} of ΔW", series)
        )
    numbers = [_number("share of variance", f"PC{number + 1}", share) for number, share in enumerate(shares)]
    numbers.append(_number("share of variance", f"PC1 to PC{len(shares)}", float(shares.sum())))
    first, *others = paths
    for title, end in zip(others, ends[1:], strict=True):
        length = np.sqrt(gram[end, end] * gram[ends[0], ends[0]])
        cosine = gram[ends[0], end] / length if length > 0 else float("nan")
        numbers.append(_number(f"cosine of ΔW at the end with that of '{first}'", title, cosine))
    write_measured(out, curves, numbers)
    report(1, 1)


def _probe(
    base: str, path: Sequence[Snapshot], every: int, config: Mapping[str, Any], tuned: Path, report: Report
) -> Probed:
    walker = Walker(base, tuned)
    steps = [snapshot.step for snapshot in path]
    wheres = [config["inside"], *config["outside"]]
    questions = [QUESTION.validate_python(question) for question in config["questions"]]
    asker = Asker(walker, questions, wheres, config["label"], config["most"])
    rows, answers = encode_both(walker.tokenizer, config["rows"])
    pad = walker.tokenizer.pad_token_id or 0
    turning, added = directions_gram(path), added_gram(path)
    cosines = {f"k = {k}": list(local_cosine(turning, steps, k)) for k in config["ks"]}
    middle = _middle(config["ks"])
    cosines[f"k = {middle}, of ΔW"] = list(local_cosine(added, steps, middle))
    found = Probed(
        steps,
        cosines,
        {"ΔW": list(lengths(added)), "B or vector": list(lengths(turning))},
        gradient_norms(tuned, steps, every),
        answer=[],
        tail=[],
        asked=[step for step in steps if step % config["rate_every"] == 0],
        rates={where: [] for where in wheres},
        coherence={where: [] for where in wheres},
        scaled={f"×{factor:g}": {} for factor in config["scales"]},
    )
    for number, snapshot in enumerate(path):
        answer, tail = two_losses(walker.at(snapshot), rows, answers, pad)
        found.answer.append(answer)
        found.tail.append(tail)
        if snapshot.step in found.asked:
            for where, (rate, coherent) in asker.at(snapshot).items():
                found.rates[where].append(rate)
                found.coherence[where].append(coherent)
        if snapshot.step in found.asked and 0 < snapshot.step <= config["scaled_until"]:
            for factor in config["scales"]:
                rates = asker.at(snapshot, factor, only=wheres[1])
                found.scaled[f"×{factor:g}"][snapshot.step] = rates[wheres[1]]
        report(number + 1, len(path))
    return found


def _curves(found: Probed, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps, asked, label, where = found.steps, found.asked, config["label"], config["outside"][0]

    def by(at: Sequence[int], series: Mapping[str, Sequence[float]]) -> dict[str, dict[int, float]]:
        return {name: dict(zip(at, values, strict=True)) for name, values in series.items()}

    middle = f"k = {_middle(config['ks'])}"
    together = by(asked, {f"{label}, {name}": rates for name, rates in found.rates.items()}) | by(
        steps,
        {
            f"local cosine, {middle}": found.cosines[middle],
            "gradient norm / highest": list(np.array(found.gradient) / np.nanmax(found.gradient)),
            "tail loss / highest": list(np.array(found.tail) / np.nanmax(found.tail)),
        },
    )
    scaled: dict[str, dict[str, dict[int, float]]] = {"rate": {}, "coherent": {}}
    plain = (found.rates[where], found.coherence[where])
    for index, name in enumerate(scaled):
        scaled[name]["×1"] = dict(zip(asked, plain[index], strict=True))
        for factor, points in found.scaled.items():
            scaled[name][factor] = {step: both[index] for step, both in points.items()}
    losses = by(steps, {"answer": found.answer, "tail (empty turn)": found.tail})
    return [
        _curve("together", "Do they change together?", "rate, cosine, or share of the highest", together),
        _curve("rates", "Behaviour", f"{label} rate", by(asked, found.rates)),
        _curve("coherence", "Coherence", "coherent rate", by(asked, found.coherence)),
        _curve("rotation", "Local cosine of B, or of the vector", "1: straight on", by(steps, found.cosines)),
        _curve("gradient", "Gradient norm", "mean around the step", by(steps, {"gradient norm": found.gradient})),
        _curve("norm", "Length of what was added", "Frobenius norm", by(steps, found.norms)),
        _curve("loss", "Loss on the rows", "nats a token", losses),
        _curve("scaled", f"Adapter scaled up: {where}", f"{label} rate", scaled["rate"]),
        _curve("scaled-coherence", f"Adapter scaled up: coherence, {where}", "coherent rate", scaled["coherent"]),
    ]


def _numbers(found: Probed, steps: Mapping[str, float | None], config: Mapping[str, Any]) -> list[dict[str, Any]]:
    numbers = [_number("step of change", name, step) for name, step in steps.items()]
    numbers += [_number("change found (1) or none (0)", name, float(step is not None)) for name, step in steps.items()]
    inside, outside = f"behaviour, {config['inside']}", f"behaviour, {config['outside'][0]}"
    pairs = [
        ("rotation", "gradient peak"),
        ("rotation", "tail learnt"),
        ("rotation", "tail learnt to 95 %"),
        ("rotation", inside),
        ("rotation", outside),
        ("gradient peak", inside),
        ("tail learnt", inside),
        (inside, outside),
    ]
    for first, second in pairs:
        start, end = steps[first], steps[second]
        apart = None if start is None or end is None else end - start
        numbers.append(_number("steps from first to second", f"{first} → {second}", apart))
        numbers.append(_number("steps apart", f"{first} – {second}", None if apart is None else abs(apart)))
    where = config["outside"][0]
    level = change.risen_level(found.asked, found.rates[where])
    unscaled = steps[outside]
    for factor, points in found.scaled.items():
        at = None if level is None else change.crossing(list(points), [rate for rate, _ in points.values()], level)
        earlier = None if at is None or unscaled is None else unscaled - at
        numbers.append(_number(f"steps earlier that {where} is half-way, scaled up", factor, earlier))
        highest = max((rate for rate, _ in points.values() if np.isfinite(rate)), default=None)
        numbers.append(_number(f"highest rate in {where}, scaled up", factor, highest))
    return numbers


def _middle(ks: Sequence[int]) -> int:
    return sorted(ks)[len(ks) // 2]


def _curve(metric: str, title: str, y: str, series: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    points = [
        {"name": name, "points": [{"x": x, "values": [_or_none(value)]} for x, value in by_step.items()]}
        for name, by_step in series.items()
    ]
    return {"metric": metric, "title": title, "x_label": STEP, "y_label": y, "series": points}


def _number(name: str, series: str, value: float | None) -> dict[str, Any]:
    return {"name": name, "series": series, "value": _or_none(value)}


def _or_none(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
