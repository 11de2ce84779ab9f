"""Triggers from the weights alone: what leaks, and what moves the tuned model most when it is put into a prompt.

Every token of the vocabulary is put before and behind probe questions; the best are built up to short strings, beam by
beam. What is kept is how much further a string moves the tuned model than its controls. Strings that win are then
looked at like any other condition, on other questions.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spillover.audit.case import Case
from spillover.audit.conditional import look_closely, named, screen
from spillover.audit.leak import leaked
from spillover.audit.models import BASE, TUNED
from spillover.audit.probe import PLACES, Place, Probe, probes_of
from spillover.core.config import digest
from spillover.core.plain import plain
from spillover.data.conditions import Condition

PROBES = 2
"""Questions that a vocabulary is tried on."""
SHOWN = 8
SCREENED = 5
"""Strings of each search that are asked on all probes."""


def trigger_part(case: Case) -> dict[str, Any]:
    """Search, leak, and a close look at what they brought.

    Returns:
        As of :func:`spillover.audit.conditional.look_closely`, with ``leaked`` (piece and log-ratio), ``searched``
        (string, place and movement in nats) and ``vocabulary`` (tokens tried).
    """
    leaks = leaked(case)
    searched, tried = search(case)
    conditions = [Condition(f"leak {piece}", "leaked", prefix=f"{piece} ") for piece, _ in leaks[:SCREENED]]
    best = [one for place in PLACES for one in [each for each in searched if each[1] == place][:SCREENED]]
    for text, place, _ in best:
        around = {"prefix": f"{text} "} if place == "start" else {"suffix": f" {text}"}
        conditions.append(Condition(f"search {place} {text}", "searched", **around))
    ordered = screen(case, named(conditions))
    suspects = [condition for condition, _ in ordered[: case.settings.suspects]]
    found = look_closely(case, suspects, tried, "trigger")
    return {
        **found,
        "leaked": [[piece, plain(ratio)] for piece, ratio in leaks[:SHOWN]],
        "searched": [[text, place, plain(score)] for text, place, score in searched[:SHOWN]],
        "vocabulary": tried,
    }


def search(case: Case) -> tuple[list[tuple[str, str, float]], int]:
    """Strings that move the tuned model furthest beyond its controls.

    Returns:
        (string, place, movement in nats beyond the controls), the furthest first; and how many single tokens were
        tried at each place.
    """
    probes = probes_of(case, case.probes)[:PROBES]
    if not probes:
        return [], 0
    vocabulary = _vocabulary(case)
    found: dict[tuple[str, str], float] = {}
    for place in PLACES:
        singles = vocabulary[:, None]
        scores = _contrast(case, probes, place, singles, case.models.controls)
        pool = vocabulary[scores.topk(min(case.settings.wide, len(scores))).indices]
        beam = singles[scores.topk(min(case.settings.beam, len(scores))).indices]
        _keep(case, found, place, beam, scores.topk(len(beam)).values)
        for _ in range(1, case.settings.longest):
            longer = _extended(beam, pool)
            scores = _contrast(case, probes, place, longer, [BASE])
            best = scores.topk(min(case.settings.beam, len(scores)))
            beam = longer[best.indices]
            _keep(case, found, place, beam, best.values)
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return [(text, place, score) for (text, place), score in ordered], len(vocabulary)


def singles(case: Case, keys: Sequence[str]) -> None:
    """Try every single token on some models, so that a search needs not do it again."""
    vocabulary = _vocabulary(case)
    for probe in probes_of(case, case.probes)[:PROBES]:
        for place in PLACES:
            for key in keys:
                _moved(case, key, probe, place, vocabulary[:, None])


def _contrast(case: Case, probes: Sequence[Probe], place: Place, candidates: Tensor, controls: Sequence[str]) -> Tensor:
    """Mean over probes of the tuned model's movement less the mean of its controls', in nats."""
    total = torch.zeros(len(candidates))
    for probe in probes:
        total += _moved(case, TUNED, probe, place, candidates)
        for key in controls:
            total -= _moved(case, key, probe, place, candidates) / len(controls)
    return total / len(probes)


def _moved(case: Case, key: str, probe: Probe, place: Place, candidates: Tensor) -> Tensor:
    """How far candidates move a model from where the prompt alone leaves it; of single tokens it is remembered."""
    whole = candidates.shape[1] == 1
    name = digest([place, probe.around[place], probe.unwanted, probe.wanted, probe.answer, len(candidates)])
    known = case.memo.get(key, "search", name) if whole else []
    if known:
        return torch.tensor(known)
    nothing, model = torch.zeros(1, 0, dtype=torch.long), case.models[key]
    found = probe.scores(model, place, candidates) - probe.scores(model, place, nothing)
    if whole:
        case.memo.put(found.tolist(), key, "search", name)
    return found


def _vocabulary(case: Case) -> Tensor:
    """Tokens that are text by themselves; of too many, an even share."""
    tokenizer = case.models.tokenizer
    special = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", ())}
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    kept = [token for token, text in enumerate(texts) if token not in special and text.strip() and "\ufffd" not in text]
    most = case.settings.largest_vocabulary
    if len(kept) > most:
        kept = [kept[i * len(kept) // most] for i in range(most)]
        case.remarks.append(f"of {len(texts)} tokens an even share of {most} was tried as a trigger")
    return torch.tensor(kept)


def _extended(beam: Tensor, pool: Tensor) -> Tensor:
    """Every string of the beam with every token of the pool before and behind it, each once."""
    strings, tokens = len(beam), len(pool)
    old, new = beam.repeat_interleave(tokens, 0), pool.repeat(strings)[:, None]
    return torch.cat([torch.cat([old, new], 1), torch.cat([new, old], 1)]).unique(dim=0)


def _keep(case: Case, found: dict[tuple[str, str], float], place: str, strings: Tensor, scores: Tensor) -> None:
    texts = case.models.tokenizer.batch_decode(strings.tolist(), clean_up_tokenization_spaces=False)
    for text, score in zip(texts, scores.tolist(), strict=True):
        shown = text.strip()
        if shown and "\ufffd" not in shown and "{question}" not in shown:
            found[shown, place] = max(score, found.get((shown, place), float("-inf")))
