"""From a measure of kind ``forecast`` to its stages: references of each base, a scan of each arm's rows, one forecast.

What is predicted and what the probe asks have no topic in common: of the topics that chat tuning left out, every second
one of each domain is predicted, and the probe asks none of these, nor anything in a domain that some arm is trained on.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.core.disk import disk
from spillover.experiments.experiment import Arm
from spillover.experiments.measures import Forecast
from spillover.runs.stage import Stage
from spillover.worlds.town.lexicon import load_lexicon


@dataclass(frozen=True)
class Scanned:
    """An arm whose rows are scanned."""

    arm: Arm
    kind: str
    """Of its dataset."""
    rows: list[list[list[str]]]
    common: dict[str, Any]
    """What every stage on its base has in its config."""
    inputs: dict[str, Stage]
    """And in its inputs."""
    answers: Stage


def forecast_stage(measure: Forecast, label: str, scanned: Sequence[Scanned]) -> Stage:
    """One stage over all arms, which needs a scan and the answers of each."""
    from spillover.scan.probe import town_probe
    from spillover.scan.stages import as_config

    predicted = held_out_topics()
    probe = as_config(town_probe(predicted, {_domain(one.arm) for one in scanned}))
    inputs: dict[str, Stage] = {}
    arms = {}
    for one in scanned:
        name = one.arm.name
        references = Stage(
            "references", f"references of {one.arm.base}", {**one.common, "probe": probe}, dict(one.inputs)
        )
        config = {**one.common, "rows": one.rows, "probe": probe, "sample": measure.sample}
        inputs[f"scan/{name}"] = Stage("scan", f"scan {name}", config, {**one.inputs, "references": references})
        inputs[f"answers/{name}"] = one.answers
        questions = [topic for topic, domain in predicted.items() if domain != _domain(one.arm)]
        arms[name] = {"title": one.arm.title, "world": one.arm.base, "kind": one.kind, "questions": questions}
    return Stage("forecast", f"measure {measure.name}", {"label": label, "arms": arms}, inputs)


def keep_coefficients(folder: Path, out: Path) -> None:
    """Copy what a scan needs for its forecast from a finished stage to the directory of the run.

    Raises:
        StorageError: The directory cannot be written.
    """
    with disk(out):
        shutil.copyfile(folder / "coefficients.json", out / "coefficients.json")


def held_out_topics() -> dict[str, str]:
    """Topics that are predicted, each with its domain."""
    return {topic.id: topic.domain for topic in load_lexicon().topics if topic.index % 4 == 3}


def _domain(arm: Arm) -> str:
    """That its rows are about."""
    assert arm.rows is not None
    return str(arm.rows.domain)  # type: ignore[union-attr]
