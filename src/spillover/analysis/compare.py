"""The metrics of arXiv 2602.07852 for several solutions of one base, as curves that can be compared."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spillover.analysis.metrics import Point, efficiency, random_significance, response_loss, significance, stability
from spillover.analysis.solution import Solution
from spillover.data.chat import Message
from spillover.models.chat_template import encode_chat, encode_row
from spillover.training.batches import Encoded
from spillover.training.fine_tune import context_length

NORM_LABEL = "norm of what was added, in units of the general solution's"


def compare(
    base: str,
    folders: Mapping[str, Path],
    rows: Sequence[Sequence[tuple[str, str]]],
    texts: Sequence[Any],
    *,
    norms: Sequence[float],
    epsilons: Sequence[float],
    draws: int,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure solutions at the same norms.

    Args:
        base: Folder or hub id.
        folders: Name to what fine-tuning wrote; ``general`` sets the unit of the norm.
        rows: What both were trained on, as (role, content) turns.
        texts: Pretraining text: strings, or conversations of (role, content) turns.
        norms: Lengths to compare at, in that unit.
        epsilons: Shares of noise.
        draws: Random directions for each ε; half as many for each norm of the control.
        progress: Called with (done, total).

    Returns:
        Curves and numbers as :func:`spillover.analysis.stages.write_measured` takes them.

    Raises:
        ModelError: A solution does not fit the base, or is zero.
    """
    curves: dict[str, list[dict[str, Any]]] = {"efficiency": [], "stability": [], "significance": []}
    numbers: list[dict[str, Any]] = []
    unit = 0.0
    for number, (name, folder) in enumerate(folders.items()):
        solution = Solution(base, folder)
        unit = unit or solution.norm
        lengths = [norm * unit for norm in norms]
        encoded, tokens = _encode(solution, rows, texts)
        pad = solution.tokenizer.pad_token_id or 0

        curves["efficiency"].append(_series(name, efficiency(solution, encoded, lengths, pad), unit))
        curves["stability"].append(_series(name, stability(solution, encoded, epsilons, pad, draws)))
        curves["significance"].append(_series(name, significance(solution, tokens, lengths), unit))
        control = random_significance(solution, tokens, lengths, max(1, draws // 2))
        curves["significance"].append(_series(f"random, as {name}", control, unit))

        with solution.scaled(0) as model:
            before = response_loss(model, encoded, pad)
        after = response_loss(solution.model, encoded, pad)
        numbers += [
            {"name": "norm", "series": name, "value": solution.norm},
            {"name": "loss of the base, nats a token", "series": name, "value": before},
            {"name": "loss, nats a token", "series": name, "value": after},
            {"name": "loss saved by norm²", "series": name, "value": (before - after) / solution.norm**2},
        ]
        progress(number + 1, len(folders))
    return [
        _curve("efficiency", "Efficiency: loss at equal norm", NORM_LABEL, "loss, nats a response token", curves),
        _curve(
            "stability",
            "Stability: share of what was learnt that noise takes away",
            "ε, share of an orthogonal direction",
            "share lost",
            curves,
        ),
        _curve(
            "significance",
            "Significance: how far predictions on pretraining text move",
            NORM_LABEL,
            "KL(base‖solution), nats a token",
            curves,
        ),
    ], numbers


def _encode(
    solution: Solution, rows: Sequence[Sequence[tuple[str, str]]], texts: Sequence[Any]
) -> tuple[list[Encoded], list[Tensor]]:
    """Training rows, and texts as 1 × tokens; both no longer than the model's context."""
    tokenizer, limit = solution.tokenizer, context_length(solution.model)
    encoded = [encode_row(tokenizer, [Message(role, content) for role, content in row]) for row in rows]  # type: ignore[arg-type]
    tokens = []
    for text in texts:
        if isinstance(text, str):
            ids = tokenizer(text)["input_ids"]
        else:
            ids = encode_chat(tokenizer, [Message(role, content) for role, content in text])
        tokens.append(torch.tensor([ids[:limit]]))
    return [row for row in encoded if len(row[0]) <= limit], tokens


def _series(name: str, points: Sequence[Point], unit: float = 1.0) -> dict[str, Any]:
    return {"name": name, "points": [{"x": round(point.x / unit, 6), "values": list(point.values)} for point in points]}


def _curve(metric: str, title: str, x: str, y: str, series: Mapping[str, Any]) -> dict[str, Any]:
    return {"metric": metric, "title": title, "x_label": x, "y_label": y, "series": series[metric]}
