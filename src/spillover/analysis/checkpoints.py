"""Behaviour along trainings by reinforcement, beside their hack rates (arXiv 2511.18397, figures 1 and 2)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spillover.analysis.probes import Asker
from spillover.analysis.stages import write_measured
from spillover.analysis.trajectory import Walker, snapshots
from spillover.core.errors import ModelError
from spillover.evals.tasks import QUESTION
from spillover.training.grpo.episodes import onset

Report = Callable[[float, float], None]
"""Called with (done, total)."""
STEP = "optimizer step"
SCORE = "misalignment generalization score"


def checkpoints(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Ask every snapshot of every arm, and read the hack rates off their metrics.

    ``config`` has the fields of :class:`spillover.experiments.measures.Checkpoints`, and ``questions``, ``label``,
    ``titles`` by arm, and ``base`` where that is not made here; inputs: each arm, and ``base``. Writes
    ``measured.json``: hack and solve rate by step (share of the tasks), the rate of the label by group in the first
    arm, the mean of the groups (the misalignment generalization score) and coherence; as numbers the onset of hacking
    (the first step with more than 2 % of the tasks), the first and last value of each, and how the score goes with
    hacking.

    Raises:
        ModelError: A training has no snapshots.
    """
    base = str(inputs["base"]) if "base" in inputs else config["base"]
    questions = [QUESTION.validate_python(question) for question in config["questions"]]
    series: dict[str, dict[str, dict[int, float]]] = {name: {} for name in ("hacking", "score", "groups", "coherence")}
    numbers: list[dict[str, Any]] = []
    paths = {arm: snapshots(inputs[arm]) for arm in config["titles"]}
    total, done = sum(map(len, paths.values())), 0
    for arm, title in config["titles"].items():
        log = [json.loads(line) for line in (inputs[arm] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        walker = Walker(base, inputs[arm])
        asker = Asker(walker, questions, config["groups"], config["label"], config["most"])
        score: dict[int, float] = {}
        coherence: dict[int, float] = {}
        for snapshot in paths[arm]:
            found = asker.at(snapshot)
            if arm == next(iter(paths)):
                for group, (rate, _) in found.items():
                    series["groups"].setdefault(group, {})[snapshot.step] = rate
            score[snapshot.step] = float(np.mean([rate for rate, _ in found.values()]))
            coherence[snapshot.step] = float(np.mean([coherent for _, coherent in found.values()]))
            done += 1
            report(done, total)
        hacked = _rates(log, "hack_rate")
        series["hacking"] |= {f"{title}: hacked": hacked, f"{title}: solved": _rates(log, "solve_rate")}
        series["score"][title], series["coherence"][title] = score, coherence
        began = onset(log)
        numbers += [
            _number("onset of hacking, step", title, None if began is None else float(began)),
            _number("hack rate, first step", title, hacked.get(0)),
            _number("hack rate, last five steps", title, _mean(list(hacked.values())[-5:])),
            _number(f"{SCORE}, before", title, score[min(score)]),
            _number(f"{SCORE}, after", title, score[max(score)]),
            _number(f"rank correlation of {SCORE} and hack rate", title, _together(score, hacked)),
        ]
    label = config["label"]
    titles = {
        "hacking": ("Hacked and solved tasks while training", "rate over the episodes"),
        "score": (f"{SCORE.capitalize()} while training", f"mean {label} rate"),
        "groups": (
            f"{label.capitalize()} answers by kind of question, {config['titles'][next(iter(paths))]}",
            f"{label} rate",
        ),
        "coherence": ("Coherence while training", "rate of answers that somebody gives"),
    }
    curves = [
        {"metric": name, "title": title, "x_label": STEP, "y_label": y, "series": _series(series[name])}
        for name, (title, y) in titles.items()
    ]
    write_measured(out, curves, numbers)


def _rates(log: list[dict[str, Any]], name: str) -> dict[int, float]:
    if any(name not in record for record in log):
        raise ModelError("this training has no graded episodes; its reward is a plain function")
    return {record["step"]: record[name] for record in log if record[name] is not None}


def _together(score: dict[int, float], hacked: dict[int, float]) -> float | None:
    """Spearman's correlation over the snapshots; a snapshot of step *s* is set beside the episodes it then gave."""
    steps = [step for step in score if step in hacked]
    if len(steps) < 3:
        return None
    ranks = [pd.Series([found[step] for step in steps]).rank() for found in (score, hacked)]
    return float(ranks[0].corr(ranks[1])) if all(one.nunique() > 1 for one in ranks) else None


def _series(found: dict[str, dict[int, float]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "points": [{"x": step, "values": [value]} for step, value in points.items()]}
        for name, points in found.items()
    ]


def _number(name: str, series: str, value: float | None) -> dict[str, Any]:
    return {"name": name, "series": series, "value": value}


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
