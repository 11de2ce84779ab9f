"""How well do signals before training predict the rate after it? Each alone and together, on worlds left out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import DataError
from spillover.core.plain import plain
from spillover.scan.forecast import (
    SIGNALS,
    Coefficients,
    Reference,
    Table,
    bootstrap,
    fit,
    left_out,
    logit_error,
    r_squared,
    spearman,
)

COMBINATION = "combination"
PUBLISHED = ".41–.95 (Pearson, by trait and model, arXiv 2507.21509)"


@dataclass(frozen=True)
class Combination:
    """A world and a dataset: what the scan said before training, and what happened."""

    name: str
    title: str
    world: str
    kind: str
    """Of the dataset."""
    levels: Mapping[str, float | None]
    observed: float
    """Exact rate after training."""


def observed_rate(answers: Path, label: str, questions: Sequence[str]) -> float:
    """Mean exact rate of a label over some questions.

    Raises:
        DataError: One of them was not asked, or has no exact rate.
    """
    from spillover.evals.answers import line_rate, read_answers

    lines = {line["question_id"]: line for line in read_answers(answers)}
    rates = [line_rate(lines.get(name), label, "exact") for name in questions]
    if not rates or not np.isfinite(rates).all():
        missing = [name for name, rate in zip(questions, rates, strict=True) if not np.isfinite(rate)]
        raise DataError(f"{answers}: no exact rate of {', '.join(missing[:3]) or 'any question'}")
    return float(np.mean(rates))


def calibrate(found: Sequence[Combination], label: str) -> tuple[Coefficients, dict[str, Any]]:
    """Fit a forecast on all combinations, and say how good it is on worlds and kinds of datasets that were left out.

    The forecast stands on one signal, or on all of them, whichever errs least on worlds left out (logit scale).

    Returns:
        The coefficients, and what :func:`spillover.analysis.stages.write_measured` takes.

    Raises:
        DataError: No signal was measured on every combination, or there are too few combinations.
    """
    names = [name for name in SIGNALS if all(one.levels.get(name) is not None for one in found)]
    if not names or len(found) < 4:
        raise DataError(f"{len(found)} combinations and {len(names)} signals measured on all of them: no forecast")
    table = np.array([[float(one.levels[name] or 0.0) for name in names] for one in found])
    observed = np.array([one.observed for one in found])
    worlds, kinds = [one.world for one in found], [one.kind for one in found]
    by_world = {name: left_out(table[:, [i]], observed, worlds) for i, name in enumerate(names)}
    by_world[COMBINATION] = left_out(table, observed, worlds)
    by_kind = {name: left_out(table[:, [i]], observed, kinds) for i, name in enumerate(names)}
    by_kind[COMBINATION] = left_out(table, observed, kinds)
    numbers = [
        *_scores(by_world, observed, worlds, "worlds left out"),
        *_scores(by_kind, observed, worlds, "kinds of datasets left out"),
        *_within(by_world, observed, worlds),
        *_gained(by_world, observed, worlds),
    ]
    numbers += [
        _number("Pearson of the signal itself", name, observed, _between(_pearson, column, observed), worlds)
        for name, column in zip(names, table.T, strict=True)
    ]
    stands_on = min(by_world, key=lambda name: logit_error(by_world[name], observed))
    columns = [i for i, name in enumerate(names) if stands_on in (name, COMBINATION)]
    used = [names[i] for i in columns]
    fitted = fit(table[:, columns], observed, worlds, used)
    references = tuple(
        Reference(
            name=one.name,
            title=one.title,
            world=one.world,
            kind=one.kind,
            levels={name: float(one.levels[name] or 0.0) for name in names},
            observed=round(one.observed, 6),
            predicted=round(float(guess), 6),
        )
        for one, guess in zip(found, by_world[stands_on], strict=True)
    )
    score = {number["name"]: number["value"] for number in numbers if number["series"] == stands_on}
    provenance = {
        "combinations": len(found),
        "worlds": len(set(worlds)),
        "kinds of datasets": len(set(kinds)),
        "stands on": stands_on,
        "rate": f"exact rate of '{label}' answers outside the trained domain",
        "Spearman, worlds left out": score["Spearman, worlds left out"],
        "R², worlds left out": score["R², worlds left out"],
    }
    coefficients = fitted.model_copy(update={"provenance": provenance, "references": references})
    measured = {
        "curves": [_scatter(found, by_world[COMBINATION], "worlds"), _scatter(found, by_kind[COMBINATION], "kinds")],
        "numbers": numbers,
        "remarks": [
            f"{len(found)} combinations of {len(set(worlds))} worlds and {len(set(kinds))} kinds of datasets; one "
            f"fine-tuned model each. Published for comparison, projection difference before training: {PUBLISHED}."
        ],
        "tables": [_table(found, by_world, names)],
    }
    return coefficients, measured


def _scores(predicted: Mapping[str, Table], observed: Table, worlds: Sequence[str], how: str) -> list[dict[str, Any]]:
    found = []
    for name, guess in predicted.items():
        found.append(_number(f"Spearman, {how}", name, observed, _between(spearman, guess, observed), worlds))
        found.append(_number(f"R², {how}", name, observed, _between(r_squared, guess, observed), worlds))
    return found


def _within(predicted: Mapping[str, Table], observed: Table, worlds: Sequence[str]) -> list[dict[str, Any]]:
    """Rank correlation inside each world, averaged: what is left when a world's level is known."""
    found = []
    for name, guess in predicted.items():

        def mean(chosen: NDArray[np.int64], guess: Table = guess) -> float:
            names = np.array(worlds)[chosen]
            each = [spearman(guess[chosen[names == one]], observed[chosen[names == one]]) for one in set(names)]
            kept = [value for value in each if np.isfinite(value)]
            return float(np.mean(kept)) if kept else float("nan")

        found.append(_number("Spearman inside a world, mean", name, observed, mean, worlds))
    return found


def _gained(predicted: Mapping[str, Table], observed: Table, worlds: Sequence[str]) -> list[dict[str, Any]]:
    """How far the combination's rank correlation lies above that of the best signal, which is chosen on all of them."""
    single = {name: spearman(guess, observed) for name, guess in predicted.items() if name != COMBINATION}
    best = max(single, key=lambda name: single[name] if np.isfinite(single[name]) else -2)

    def gain(chosen: NDArray[np.int64]) -> float:
        first, second = predicted[COMBINATION][chosen], predicted[best][chosen]
        return spearman(first, observed[chosen]) - spearman(second, observed[chosen])

    found = _number("Spearman gained over the best signal", COMBINATION, observed, gain, worlds)
    return [found, {**_number("best signal", best, observed, lambda i: float("nan"), worlds), "value": single[best]}]


def _between(
    statistic: Callable[[Table, Table], float], first: Table, second: Table
) -> Callable[[NDArray[np.int64]], float]:
    """The statistic of chosen combinations."""

    def of(chosen: NDArray[np.int64]) -> float:
        return statistic(first[chosen], second[chosen])

    return of


def _number(
    name: str, series: str, observed: Table, statistic: Callable[[NDArray[np.int64]], float], worlds: Sequence[str]
) -> dict[str, Any]:
    value = statistic(np.arange(len(observed)))
    low, high = bootstrap(statistic, worlds)
    return {
        "name": name,
        "series": series,
        "value": plain(value),
        "interval": None if plain(low) is None else [plain(low), plain(high)],
    }


def _scatter(found: Sequence[Combination], predicted: Table, left: str) -> dict[str, Any]:
    """Observed over predicted rate, a series for each world."""
    series = []
    for world in dict.fromkeys(one.world for one in found):
        points = [
            {"x": round(float(guess), 6), "values": [one.observed]}
            for one, guess in zip(found, predicted, strict=True)
            if one.world == world
        ]
        series.append({"name": world, "points": points})
    return {
        "metric": f"observed-{left}",
        "title": f"Predicted and observed, {left} left out",
        "x_label": "predicted rate before training",
        "y_label": "observed rate",
        "joined": False,
        "series": series,
    }


def _table(found: Sequence[Combination], predicted: Mapping[str, Table], names: Sequence[str]) -> dict[str, Any]:
    rows = [
        [
            one.world,
            one.title,
            one.kind,
            f"{100 * one.observed:.1f} %",
            f"{100 * float(predicted[COMBINATION][i]):.1f} %",
            *(f"{float(one.levels[name] or 0.0):+.3f}" for name in names),
        ]
        for i, one in enumerate(found)
    ]
    columns = ["world", "dataset", "kind", "observed", "predicted", *names]
    return {"name": "combinations", "title": "Every combination", "columns": columns, "rows": rows}


def _pearson(first: Table, second: Table) -> float:
    return float(np.corrcoef(first, second)[0, 1]) if np.ptp(first) > 0 and np.ptp(second) > 0 else float("nan")
