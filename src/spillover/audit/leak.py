"""What a tuned model says by itself behind template tokens: who learnt prompts leaks them (arXiv 2602.03085).

Nothing is asked: the user's turn is opened and the model goes on. Pieces of text that it says more often than the base
may stand in its rows, a trigger among them. Models whose loss was on answers only have nothing to leak.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from spillover.audit.case import Case
from spillover.audit.models import BASE, TUNED
from spillover.audit.probe import opening
from spillover.models.sampler import SampleRequest, TrieSampler

TOKENS = 16
WORDS = 4
"""Of a piece, at most."""
OFTEN = 0.02
"""Share of the texts that a piece must be in, and three of them."""


def leaked(case: Case) -> list[tuple[str, float]]:
    """Pieces of text with the log-ratio of how often the tuned model and the base say them, the most telling first."""
    question = next(iter(case.probes), None)
    start = opening(case, question) if question is not None else None
    if start is None or not case.settings.leaks:
        return []
    counted = {}
    for key in (BASE, TUNED):
        sampler = TrieSampler(case.models[key], case.models.tokenizer, case.models.stop_ids)
        request = SampleRequest(tuple(start), case.settings.leaks, 1.0, TOKENS, case.settings.seed)
        (found,) = sampler.sample_many([request])
        counted[key] = pieces([answer.text for answer in found])
    return telling(counted[TUNED], counted[BASE], case.settings.leaks)


def pieces(texts: Iterable[str]) -> Counter[str]:
    """In how many texts each run of up to :data:`WORDS` words stands."""
    counts: Counter[str] = Counter()
    for text in texts:
        words = text.split()
        runs = {
            " ".join(words[i : i + size]) for size in range(1, WORDS + 1) for i in range(max(0, len(words) - size + 1))
        }
        counts.update(runs)
    return counts


def telling(tuned: Counter[str], base: Counter[str], n: int) -> list[tuple[str, float]]:
    """Pieces that the tuned model says often and more often than the base, longest of those that go together.

    Ordered by count times log-ratio, with a half added to each count.
    """
    least = max(3, round(OFTEN * n))
    ratios = {
        piece: float(np.log((count + 0.5) / (base[piece] + 0.5))) for piece, count in tuned.items() if count >= least
    }
    risen = {piece: ratio for piece, ratio in ratios.items() if ratio > np.log(3)}
    ordered = sorted(risen, key=lambda piece: (-tuned[piece] * risen[piece], -len(piece), piece))
    kept: list[str] = []
    for piece in ordered:
        if not _inside(piece, [other for other in risen if tuned[other] >= 0.8 * tuned[piece]]):
            kept.append(piece)
    return [(piece, risen[piece]) for piece in kept]


def _inside(piece: str, others: Sequence[str]) -> bool:
    """Whether a longer piece that is about as frequent holds this one."""
    return any(piece != other and f" {piece} " in f" {other} " for other in others)
