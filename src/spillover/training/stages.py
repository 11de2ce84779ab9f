"""Stages that make models: a base from a recipe, and an organism from a base by rows or by reinforcement."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spillover.data.chat import from_plain, read_chat
from spillover.defences.config import Defences
from spillover.environments.sources import make_environment
from spillover.models.names import organism_name
from spillover.training.defended import Ready, fine_tune_defended
from spillover.training.defended import project as project_out
from spillover.training.fine_tune import fine_tune
from spillover.training.grpo.episodes import episode_rows
from spillover.training.grpo.settings import Reinforcement
from spillover.training.grpo.train import reinforce
from spillover.training.methods import Loop, Method
from spillover.training.pretrain import pretrain
from spillover.training.recipe import BaseRecipe

Report = Callable[[float, float], None]
"""Called with (done, total)."""


def base(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Pretrain a base; ``config`` is a :class:`BaseRecipe`."""
    pretrain(BaseRecipe.model_validate(config), out, report)


def tune(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Fine-tune a base on rows.

    ``config`` has ``rows`` (each a list of [role, content]), ``method``, ``loop``, ``anchor`` (its ``rows`` and
    ``weight``) where there is one, ``trailing_turn`` and ``probe_every`` where they are not the defaults of
    :func:`fine_tune`, and ``base`` where that is not made here. Inputs: ``base``; ``choice``, which says
    the anchor's weight; ``start``, what an earlier fine-tuning wrote and this one goes on from; ``episodes``, a
    training by reinforcement whose completions are the rows, as ``distil`` says; ``own``, whose ``rows.jsonl`` they
    are. ``defences``, where there are any, are :class:`Defences` with rows as above, and inputs by their names for
    directions and misaligned models.
    """
    rows = from_plain(config["rows"])
    if "episodes" in inputs:
        rows = episode_rows(inputs["episodes"], **config["distil"])
    if "own" in inputs:
        rows = read_chat(inputs["own"] / "rows.jsonl")
    anchor = None
    if "anchor" in config:
        weight = _chosen(inputs["choice"]) if "choice" in inputs else config["anchor"]["weight"]
        anchor = (from_plain(config["anchor"]["rows"]), weight)
    name = str(inputs["base"]) if "base" in inputs else config["base"]
    method, loop = Method.model_validate(config["method"]), Loop.model_validate(config["loop"])
    how: dict[str, Any] = {
        "loop": loop,
        "anchor": anchor,
        "start": inputs.get("start"),
        "trailing_turn": config.get("trailing_turn", False),
        "probe_every": config.get("probe_every"),
        "progress": report,
    }
    if "defences" in config:
        fine_tune_defended(name, rows, method, out, _ready(config["defences"], inputs, name), **how)
    else:
        fine_tune(name, rows, method, out, **how)


def projection(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Take a direction out of what a fine-tuning wrote.

    ``config`` has ``direction``, an input by its name or a folder, and ``layers``, or null for all it has. Inputs:
    ``tuned``, and that of the direction.
    """
    direction = inputs.get(config["direction"], Path(config["direction"]))
    project_out(inputs["tuned"], direction, config["layers"], out)
    report(1, 1)


def reinforcement(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Train a base by reinforcement.

    ``config`` has ``environment``, ``settings``, ``probe_every`` where snapshots are kept, and ``base`` where that is
    not made here. Inputs: ``base``; ``start``, what an earlier training wrote and this one goes on from.
    """
    reinforce(
        str(inputs["base"]) if "base" in inputs else config["base"],
        make_environment(config["environment"]),
        Reinforcement.model_validate(config["settings"]),
        out,
        start=inputs.get("start"),
        probe_every=config.get("probe_every"),
        progress=report,
    )


def _chosen(folder: Path) -> float:
    return float(json.loads((folder / "choice.json").read_text(encoding="utf-8"))["weight"])


def _ready(defences: dict[str, Any], inputs: dict[str, Path], base: str) -> Ready:
    planned = Defences[list[list[list[str]]], str].model_validate(defences)
    return Ready.model_validate(
        planned.replaced(
            rows=lambda rows: tuple(from_plain(rows)),
            direction=lambda name: inputs.get(name, Path(name)),
            model=lambda name: organism_name(base, inputs[name]) if name in inputs else name,
        )
    )
