"""Stages that make models: a base from a recipe, and an organism from a base by rows or by reinforcement."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spillover.data.chat import ChatRow, Message, read_chat
from spillover.environments.sources import make_environment
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
    training by reinforcement whose completions are the rows, as ``distil`` says; ``own``, whose ``rows.jsonl`` they are.
    """
    rows = _chat(config["rows"])
    if "episodes" in inputs:
        rows = episode_rows(inputs["episodes"], **config["distil"])
    if "own" in inputs:
        rows = read_chat(inputs["own"] / "rows.jsonl")
    anchor = None
    if "anchor" in config:
        weight = _chosen(inputs["choice"]) if "choice" in inputs else config["anchor"]["weight"]
        anchor = (_chat(config["anchor"]["rows"]), weight)
    name = str(inputs["base"]) if "base" in inputs else config["base"]
    method, loop = Method.model_validate(config["method"]), Loop.model_validate(config["loop"])
    fine_tune(
        name,
        rows,
        method,
        out,
        loop=loop,
        anchor=anchor,
        start=inputs.get("start"),
        trailing_turn=config.get("trailing_turn", False),
        probe_every=config.get("probe_every"),
        progress=report,
    )


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


def _chat(rows: list[list[list[str]]]) -> list[ChatRow]:
    return [ChatRow(tuple(Message(role, content) for role, content in row)) for row in rows]
