"""From the answers of all models to ``results.json``: rates with intervals, controls, claims and outcomes."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.plain import plain, plain_interval
from spillover.core.statistics import crossed_difference, crossed_mean, design_effect
from spillover.evals.answers import COHERENT, line_rate, parent, scored
from spillover.experiments import relations
from spillover.experiments.claims import Rate
from spillover.experiments.controls import against, mean, questions_against
from spillover.experiments.curves import Curve, Measure, read_measure
from spillover.experiments.experiment import Arm, Experiment, Plot
from spillover.experiments.relations import Related, Relation, relate
from spillover.judges.policy import find_policy

SCHEMA_VERSION = 1
LEVEL = 0.95
Key = tuple[str, str, str]
"""(arm, group of questions, condition)."""


@dataclass
class Cells:
    """What one arm answered in one group and condition: a line of ``answers.jsonl`` for each model and question."""

    lines: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    """Question and paraphrase to its line in each model."""

    def table(self, label: str, measure: str, names: Iterable[str] | None = None) -> NDArray[np.float64]:
        """Models × questions, in their own order if not of the ``names`` given; ``nan`` where nothing was measured."""
        rows = [[line_rate(line, label, measure) for line in self.lines[name]] for name in names or self.lines]
        return np.array(rows, dtype=np.float64).T

    def draws(self) -> NDArray[np.float64]:
        """Scored answers of each model and question."""
        rows = [[scored(line) if line else 0 for line in lines] for lines in self.lines.values()]
        return np.array(rows, dtype=np.float64).T

    def labels(self) -> list[str]:
        """Every label that an answer could get here, each before its kinds."""
        found: dict[str, None] = {}
        for line in self._all():
            for label in line["labels"]:
                found.update(dict.fromkeys(name for name in (parent(label), label) if name))
        return list(found)

    def among(self) -> list[str]:
        """Outcomes that a rate is taken of, where an LLM judged."""
        return [outcome for line in self._all() for outcome in line.get("among", ())]

    def counts(self) -> Counter[str]:
        """Answers by outcome, over all models and questions."""
        counts: Counter[str] = Counter()
        for line in self._all():
            counts.update(line["counts"])
        return counts

    def _all(self) -> Iterator[dict[str, Any]]:
        return (line for lines in self.lines.values() for line in lines if line is not None)


class _Found:
    """What claims and the answer are filled in from."""

    def __init__(
        self,
        experiment: Experiment,
        asked: Mapping[Key, Cells],
        rates: Sequence[dict[str, Any]],
        measures: Sequence[Measure],
        related: Mapping[str, Related],
    ) -> None:
        self._asked, self._related = asked, related
        self._controls = {arm.name: arm.control for arm in experiment.arms}
        keys = ("arm", "where", "condition", "label", "measure")
        self._rates = {tuple(found[key] for key in keys): found for found in rates}
        self._curves = {(curve.measure, curve.metric): curve for measure in measures for curve in measure.curves}
        self._grids = {one.name: one.conditional for one in measures if one.conditional is not None}
        self._numbers = {(one.name, *key): values for one in measures for key, values in one.numbers.items()}
        self._intervals = {(one.name, *key): found for one in measures for key, found in one.intervals.items()}

    def rate(self, arm: str, where: str, condition: str, label: str) -> Rate | None:
        for measure in ("exact", "sampled"):
            found = self._rates.get((arm, where, condition, label, measure))
            if found is not None and found["value"] is not None:
                return Rate(found["value"], *(found["interval"] or (float("nan"), float("nan"))))
        return None

    def against(self, arm: str, control: str | None, where: str, condition: str, label: str) -> Rate | None:
        cells = self._asked.get((arm, where, condition))
        control = control or self._controls[arm]
        others = self._asked.get((control, where, condition)) if control else None
        if cells is None or others is None or cells.lines.keys() != others.lines.keys():
            return None
        for measure in ("exact", "sampled"):
            tables = cells.table(label, measure), others.table(label, measure, cells.lines)
            if all(np.isfinite(table).any() for table in tables):
                difference, interval = crossed_difference(*tables, LEVEL)
                return Rate(difference, *interval)
        return None

    def correlation(self, relation: str) -> tuple[Rate, int] | None:
        related = self._related.get(relation)
        if related is None or not np.isfinite(related.spearman):
            return None
        return Rate(related.spearman, *related.spearman_interval), len(related.points)

    def differences(self, measure: str, metric: str, first: str, second: str) -> list[tuple[float, Rate]]:
        curve = self._curves.get((measure, metric))
        return curve.differences(first, second, LEVEL) if curve else []

    def conditional(self, measure: str, arm: str) -> dict[str, Any] | None:
        arms = self._grids.get(measure, {}).get("arms", ())
        return next((found for found in arms if found["arm"] == arm), None)

    def number(self, measure: str, name: str, series: str) -> Rate | None:
        values = self._numbers.get((measure, name, series))
        if values is None or not np.isfinite(values).any():
            return None
        mean, interval = crossed_mean(np.array(values, dtype=np.float64)[:, None], LEVEL)
        return Rate(mean, *self._intervals.get((measure, name, series), interval))


def _related(
    experiment: Experiment, relation: Relation, curves: Sequence[Curve], asked: Mapping[Key, Cells]
) -> Related:
    rates = {}
    for arm in relation.pairs.values():
        cells = asked.get((arm, relation.where, "plain"))
        if cells is not None:
            exact = cells.table(experiment.label, "exact")
            table = exact if np.isfinite(exact).any() else cells.table(experiment.label, "sampled")
            rates[arm, relation.where] = np.nanmean(table, 1)
    return relate(relation, curves, rates, LEVEL)


def collect(
    experiment: Experiment,
    answers: Mapping[str, Sequence[Path]],
    measured: Mapping[tuple[str, str], Sequence[Path]] | None = None,
) -> dict[str, Any]:
    """Everything that was found, as plain JSON values. It holds no times and no machine facts.

    Args:
        experiment: What was planned.
        answers: For each arm, the directory of each of its models' answers, in order of seed.
        measured: For each measure (name, title), the directories of its stages, in order of seed.
    """
    asked = {key: cells for arm, folders in answers.items() for key, cells in _read(arm, folders).items()}
    taken = asked | _pooled(experiment, asked)
    rates = [rate for key, cells in taken.items() for rate in _rates(experiment, key, cells, taken)]
    measures = [read_measure(name, title, folders) for (name, title), folders in (measured or {}).items()]
    curves = [curve for measure in measures for curve in measure.curves]
    related = {relation.name: _related(experiment, relation, curves, taken) for relation in experiment.relations}
    found = _Found(experiment, taken, rates, measures, related)
    return {
        "schema_version": SCHEMA_VERSION,
        "experiment": experiment.name,
        "title": experiment.title,
        "question": experiment.question,
        "source": [source.model_dump() for source in experiment.source],
        "answer": _answer(experiment, found),
        "unit": "trained models × questions",
        "label": experiment.label,
        "judge": _judge(experiment, asked),
        "arms": [_arm(arm) for arm in experiment.arms],
        "wheres": [
            {"name": where, "title": where.replace("-", " "), "description": experiment.wheres.get(where, "")}
            for where in dict.fromkeys(where for _, where, _ in taken)
        ],
        "rates": rates,
        "claims": [_claim(claim, found) for claim in experiment.claims],
        "agreement": _agreement(asked),
        "outcomes": [
            {"arm": arm, "where": where, "condition": condition, "counts": dict(sorted(cells.counts().items()))}
            for (arm, where, condition), cells in asked.items()
        ],
        "measures": [measure.results(LEVEL) for measure in measures],
        "relations": [relations.results(relation, related[relation.name]) for relation in experiment.relations],
        "questions": list(_questions(experiment, asked)),
        "plot": _plot(experiment, found),
        "not_measured": list(experiment.not_measured),
    }


def _read(arm: str, folders: Sequence[Path]) -> dict[Key, Cells]:
    found: dict[Key, Cells] = defaultdict(Cells)
    for number, folder in enumerate(folders):
        with (folder / "answers.jsonl").open(encoding="utf-8") as handle:
            for text in handle:
                line = json.loads(text)
                cells = found[arm, line["group"], line["condition"]]
                name = f"{line['question_id']}/{line['paraphrase']}"
                cells.lines.setdefault(name, [None] * len(folders))[number] = line
    return dict(found)


def _pooled(experiment: Experiment, asked: Mapping[Key, Cells]) -> dict[Key, Cells]:
    """The groups of each pool taken together; a pool of which some group was not asked is not there."""
    found = {}
    for arm, condition in dict.fromkeys((arm, condition) for arm, _, condition in asked):
        for pool, groups in experiment.pools.items():
            parts = [asked.get((arm, group, condition)) for group in groups]
            if all(parts):
                lines = {name: of for part in parts if part for name, of in part.lines.items()}
                found[arm, pool, condition] = Cells(lines)
    return found


def _rates(experiment: Experiment, key: Key, cells: Cells, measured: Mapping[Key, Cells]) -> Iterator[dict[str, Any]]:
    arm, where, condition = key
    control = _control(experiment, key, measured)
    samples, draws = cells.counts().total(), cells.draws()
    for label in (*cells.labels(), COHERENT):
        for measure in ("exact", "sampled"):
            table = cells.table(label, measure)
            value, interval = crossed_mean(table, LEVEL, rate=True)
            if measure == "exact" and not np.isfinite(value):
                continue  # the answers of these questions cannot be listed: there is no such measure
            effect, effective = design_effect(table, draws) if measure == "sampled" else (float("nan"), float("nan"))
            yield {
                "arm": arm,
                "where": where,
                "condition": condition,
                "label": label,
                "measure": measure,
                "value": plain(value),
                "interval": plain_interval(interval),
                "level": LEVEL,
                "n_models": table.shape[0],
                "n_questions": table.shape[1],
                "n_samples": samples if measure == "sampled" else 0,
                "unit": "trained models × questions",
                "design_effect": plain(effect),
                "effective_n": plain(effective),
                "control": control and against(control[0], table, control[1].table(label, measure, cells.lines), LEVEL),
            }


def _control(experiment: Experiment, key: Key, measured: Mapping[Key, Cells]) -> tuple[str, Cells] | None:
    """The arm's matched control and its answers in the same group and condition, if it was asked the same questions."""
    arm, where, condition = key
    control = next(found.control for found in experiment.arms if found.name == arm)
    cells = measured.get((control, where, condition)) if control else None
    return (control, cells) if control and cells and cells.lines.keys() == measured[key].lines.keys() else None


def _judge(experiment: Experiment, asked: Mapping[Key, Cells]) -> dict[str, Any] | None:
    """Who judged, and what the policy makes of verdicts; None where a ledger or patterns did."""
    judge = experiment.judge
    if judge is None:
        return None
    policy = find_policy(judge.policy)
    return {
        "model": judge.model,
        "rubrics": list(judge.rubrics),
        "policy": judge.policy,
        **policy.model_dump(mode="json"),
        "among": list(dict.fromkeys(outcome for cells in asked.values() for outcome in cells.among())),
    }


def _agreement(measured: Mapping[Key, Cells]) -> dict[str, Any]:
    """How far sampled rates lie from the exact ones of the same cell, in points and against the sampling noise.

    The exact rates give the noise of the sampled ones: answers are independent draws of known probability. About 5 %
    of the cells are expected outside it.
    """
    gaps, inside = [], 0
    for cells in measured.values():
        draws = cells.draws()
        for label in (*cells.labels(), COHERENT):
            exact, sampled = cells.table(label, "exact"), cells.table(label, "sampled")
            both = np.isfinite(exact) & np.isfinite(sampled)
            if not both.any():
                continue
            probability, n = np.clip(exact[both], 0, 1), draws[both]
            gap = abs(float(sampled[both].mean() - exact[both].mean()))
            noise = float(np.sqrt((probability * (1 - probability) / n).sum())) / both.sum()
            gaps.append(gap)
            inside += gap <= 1.96 * noise + 0.5 / n.sum()
    return {
        "cells": len(gaps),
        "within_noise": int(inside),
        "largest_gap": plain(max(gaps, default=float("nan"))),
    }


def _questions(experiment: Experiment, measured: Mapping[Key, Cells]) -> Iterator[dict[str, Any]]:
    for (arm, where, condition), cells in measured.items():
        exact, sampled = cells.table(experiment.label, "exact"), cells.table(experiment.label, "sampled")
        controls = _question_controls(experiment, (arm, where, condition), measured)
        for column, (name, lines) in enumerate(cells.lines.items()):
            line = next(line for line in lines if line is not None)
            yield {
                "arm": arm,
                "question_id": name,
                "text": line["prompt"],
                "where": where,
                "domain": line["domain"],
                "condition": condition,
                "label": experiment.label,
                "exact": plain(mean(exact[:, column])),
                "sampled": plain(mean(sampled[:, column])),
                "n_models": sum(line is not None for line in lines),
                "n_samples": sum(line["n"] for line in lines if line is not None),
                "control": controls.get(name),
            }


def _question_controls(experiment: Experiment, key: Key, measured: Mapping[Key, Cells]) -> dict[str, Any]:
    """Question to its difference to the control: of exact rates where all of them are, else of sampled ones."""
    cells, control = measured[key], _control(experiment, key, measured)
    if control is None:
        return {}
    for measure in ("exact", "sampled"):
        treated, other = (one.table(experiment.label, measure, cells.lines) for one in (cells, control[1]))
        if np.isfinite(treated).all() and np.isfinite(other).all():
            break
    return dict(zip(cells.lines, questions_against(control[0], measure, treated, other), strict=True))


def _arm(arm: Arm) -> dict[str, Any]:
    return {"name": arm.name, "title": arm.title, "description": arm.description, "control_of": arm.control, "x": arm.x}


def _claim(claim: Any, found: _Found) -> dict[str, Any]:
    finding = claim.test(found)
    return {
        "id": claim.id,
        "text": claim.text,
        "bar": claim.bar(),
        "published": claim.published,
        "held": finding.held,
        "figure": finding.figure,
        "value": plain(finding.value),
        "interval": list(finding.interval) if finding.interval and np.isfinite(finding.interval).all() else None,
    }


def _answer(experiment: Experiment, found: _Found) -> str:
    """The sentence with its figures; what was not measured is said to be so."""
    text = experiment.answer
    for part in _placeholders(text):
        arm, where, *rest = part.split("/")
        if arm == "finding":
            grid = found.conditional(where, "/".join(rest))
            text = text.replace("{" + part + "}", grid["finding"] if grid else "Nothing was measured over a grid.")
            continue
        if arm == "number" and len(rest) == 2:
            rate = found.number(where, *rest)
        else:
            rate = found.rate(arm, where, *(rest[:1] or ["plain"]), *(rest[1:] or [experiment.label]))
        text = text.replace("{" + part + "}", f"{rate.value:.1%}" if rate else "an unmeasured share")
    return text


def _placeholders(text: str) -> Iterable[str]:
    import re

    return dict.fromkeys(re.findall(r"\{([^{}]+)\}", text))


def _plot(experiment: Experiment, found: _Found) -> dict[str, Any]:
    plot = experiment.plot
    arms = [arm for arm in experiment.arms if not plot.arms or arm.name in plot.arms]
    if plot.kind in ("arms", "measures"):
        return {
            "kind": plot.kind,
            "x_groups": list(plot.wheres),
            "arms": [arm.name for arm in arms],
            "conditions": list(plot.conditions),
            "label": experiment.label,
        }
    lines = _over_conditions(plot, arms) if plot.kind == "conditions" else _over_arms(plot, arms)
    series = []
    for name, points, where in lines:
        rates = [found.rate(arm, where, condition, experiment.label) for arm, condition, _ in points]
        line = [arm for arm in arms if arm.name in {name for name, _, _ in points}]
        series.append(
            {
                "onset": _onset(line, where, experiment.label, found) if plot.kind == "curve" else None,
                "name": name,
                "x": [x for _, _, x in points],
                "y": [rate.value if rate else None for rate in rates],
                "lo": [plain(rate.low) if rate else None for rate in rates],
                "hi": [plain(rate.high) if rate else None for rate in rates],
            }
        )
    return {
        "kind": "curve",
        "over": "conditions" if plot.kind == "conditions" else "arms",
        "x_groups": list(plot.wheres),
        "x_label": plot.x_label,
        "x_share": plot.x_share,
        "y_label": f"{experiment.label} rate",
        "series": series,
    }


_Line = tuple[str, list[tuple[str, str, float | None]], str]
"""Name, (arm, condition, x) of each point, and group of questions."""


def _over_arms(plot: Plot, arms: Sequence[Arm]) -> Iterator[_Line]:
    placed = sorted((arm for arm in arms if arm.x is not None), key=lambda arm: arm.x or 0.0)
    names = dict.fromkeys(arm.series for arm in placed)
    for name in names:
        points: list[tuple[str, str, float | None]]
        points = [(arm.name, "plain", arm.x) for arm in placed if arm.series == name]
        for where in plot.wheres:
            parts = [name if len(names) > 1 else "", where if len(plot.wheres) > 1 or len(names) == 1 else ""]
            yield ", ".join(part for part in parts if part), points, where


def _over_conditions(plot: Plot, arms: Sequence[Arm]) -> Iterator[_Line]:
    for arm in arms:
        points: list[tuple[str, str, float | None]]
        points = [
            (arm.name, condition, float(condition)) for condition in plot.conditions if condition in arm.conditions
        ]
        for where in plot.wheres:
            yield ", ".join([arm.title, where] if len(plot.wheres) > 1 else [arm.title]), points, where


def _onset(line: Sequence[Arm], where: str, label: str, found: _Found) -> float | None:
    """The smallest x from which on every arm's interval of the difference to its control lies above 0."""
    onset = None
    for arm in reversed(line):
        difference = found.against(arm.name, None, where, "plain", label)
        if difference is None or not difference.low > 0:
            break
        onset = arm.x
    return onset
