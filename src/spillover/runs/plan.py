"""What a run would make, what is there already and what it may take; imports no torch."""

import json
from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from spillover.runs.stage import Stage, in_order
from spillover.runs.store import Store


@dataclass(frozen=True)
class Planned:
    """One line of a plan."""

    stage: Stage
    state: str
    """``ready``, ``resumes`` (begun before), ``damaged`` or ``to make``."""
    seconds: float | None
    """Median of earlier stages of the kind; None if there were none, 0 if ready."""


def plan(targets: list[Stage], store: Store) -> list[Planned]:
    """Every stage of a run with its state, inputs first."""
    known: dict[str, list[float]] = defaultdict(list)
    for path in (store.root / "stages").glob("*/env.json"):
        known[path.parent.name.partition("-")[0]].append(float(json.loads(path.read_text())["seconds"]))
    result = []
    for stage in in_order(targets):
        if store.ready(stage.key):
            state = "ready"
        elif store.damage(stage.key):
            state = "damaged"
        else:
            state = "resumes" if store.partial(stage.key).is_dir() else "to make"
        kind = known.get(stage.kind)
        seconds = 0.0 if state == "ready" else median(kind) if kind else None
        result.append(Planned(stage, state, seconds))
    return result


def to_make(targets: list[Stage], store: Store) -> list[Stage]:
    """Stages that must be made, inputs first; what only finished stages needed is not looked at."""
    needed: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key in needed or store.ready(stage.key):
            return
        for used in stage.inputs.values():
            visit(used)
        needed[stage.key] = stage

    for target in targets:
        visit(target)
    return list(needed.values())
