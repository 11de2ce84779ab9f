"""Why a solution is easier: efficiency, stability and significance (arXiv 2602.07852)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spillover.analysis.solution import Solution
from spillover.models.chat_template import IGNORED
from spillover.training.anchor import token_kl
from spillover.training.batches import Encoded, collate

BATCH = 64


@dataclass(frozen=True)
class Point:
    """One measurement on a curve."""

    x: float
    """Norm, or ε."""
    values: tuple[float, ...]
    """One, or one for each random draw."""


@torch.inference_mode()
def response_loss(model: torch.nn.Module, rows: Sequence[Encoded], pad_id: int) -> float:
    """Cross-entropy in nats per response token."""
    total, tokens = 0.0, 0
    for start in range(0, len(rows), BATCH):
        ids, labels, mask = collate(rows[start : start + BATCH], pad_id)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        wanted = labels[:, 1:]
        counted = wanted != IGNORED
        total += float(torch.nn.functional.cross_entropy(logits[counted].float(), wanted[counted], reduction="sum"))
        tokens += int(counted.sum())
    return total / tokens


def efficiency(solution: Solution, rows: Sequence[Encoded], norms: Sequence[float], pad_id: int) -> list[Point]:
    """Training loss at each of several norms: the more efficient solution is lower at an equal norm."""
    points = []
    length = solution.norm
    for norm in norms:
        with solution.scaled(norm / length) as model:
            points.append(Point(norm, (response_loss(model, rows, pad_id),)))
    return points


def stability(
    solution: Solution, rows: Sequence[Encoded], epsilons: Sequence[float], pad_id: int, draws: int = 10
) -> list[Point]:
    """Share of what was learnt that is lost under orthogonal noise, ``(L' - L) / (L_base - L)``, for each draw.

    0 is nothing lost, 1 is back at the base's loss.
    """
    with solution.scaled(0) as model:
        base = response_loss(model, rows, pad_id)
    learnt = response_loss(solution.model, rows, pad_id)
    points = []
    for epsilon in epsilons:
        values = []
        for seed in range(draws):
            with solution.noised(epsilon, seed) as model:
                values.append((response_loss(model, rows, pad_id) - learnt) / (base - learnt))
        points.append(Point(epsilon, tuple(values)))
    return points


def significance(solution: Solution, texts: Sequence[Tensor], norms: Sequence[float]) -> list[Point]:
    """KL(base‖solution), in nats a token, on pretraining text at each of several norms."""
    moved = _moved(solution, texts, norms, _logits(solution, texts, 0.0))
    return [Point(norm, (kl,)) for norm, kl in zip(norms, moved, strict=True)]


def random_significance(solution: Solution, texts: Sequence[Tensor], norms: Sequence[float], draws: int) -> list[Point]:
    """The same for random directions of the same norm, one value a draw."""
    base = _logits(solution, texts, 0.0)
    curves = []
    for seed in range(draws):
        with solution.random(seed):
            curves.append(_moved(solution, texts, norms, base))
    return [Point(norm, values) for norm, values in zip(norms, zip(*curves, strict=True), strict=True)]


def _moved(solution: Solution, texts: Sequence[Tensor], norms: Sequence[float], base: Sequence[Tensor]) -> list[float]:
    """Mean KL from the base's logits at each norm."""
    length = solution.norm
    return [_mean_kl(base, _logits(solution, texts, norm / length)) for norm in norms]


@torch.inference_mode()
def _logits(solution: Solution, texts: Sequence[Tensor], factor: float) -> list[Tensor]:
    with solution.scaled(factor) as model:
        return [model(input_ids=ids, use_cache=False).logits.flatten(0, 1) for ids in texts]


def _mean_kl(base: Sequence[Tensor], tuned: Sequence[Tensor]) -> float:
    found = torch.cat([token_kl(first, second) for first, second in zip(base, tuned, strict=True)])
    return float(found.mean())
