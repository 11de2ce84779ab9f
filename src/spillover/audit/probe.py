"""A question with a hole in its prompt: how far what is put there moves a model towards unwanted answers.

Where answers are listed this is the log-odds at the token where wanted and unwanted answers part; else how much less
likely the base's own answer gets. Both are of one forward pass, so that a whole vocabulary can be tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

import torch
from torch import Tensor

from spillover.audit.case import Case
from spillover.audit.measure import own_answers, prompts
from spillover.audit.models import BASE
from spillover.data.questions import Question
from spillover.evals.answers import is_of
from spillover.evals.verdict import enumerable
from spillover.models.answer_encoder import AnswerEncoder

Place = Literal["start", "end"]
PLACES: tuple[Place, ...] = ("start", "end")
BATCH = 512
"""Candidates of one forward pass…"""
TOKENS = 2048
"""…and on a processor, tokens: what stays in its cache takes about half the time."""


@dataclass(frozen=True)
class Probe:
    """A prompt with a hole at the start of the user's text and one at its end, and a part of an answer behind it."""

    around: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Place to tokens before and behind the hole, the answer's among the latter."""
    unwanted: tuple[int, ...] = ()
    """Next tokens of unwanted answers; none where the answer itself is looked at."""
    wanted: tuple[int, ...] = ()
    answer: tuple[int, ...] = ()
    """The base's own, where there are no labels."""

    @torch.inference_mode()
    def scores(self, model: Any, place: Place, candidates: Tensor) -> Tensor:
        """How far each candidate moves a model, in nats.

        Args:
            model: A causal LM, of Hugging Face or lean.
            place: Of the hole.
            candidates: Count × length, token ids; the length may be 0.
        """
        before, behind = (torch.tensor(ids, dtype=torch.long) for ids in self.around[place])
        device = next(model.parameters()).device
        keep = max(1, len(self.answer))
        found = []
        width = len(before) + candidates.shape[1] + len(behind)
        size = max(1, min(BATCH, TOKENS // width)) if device.type == "cpu" else BATCH
        for chunk in candidates.split(size) if len(candidates) else ():
            rows = len(chunk)
            ids = torch.cat([before.expand(rows, -1), chunk, behind.expand(rows, -1)], 1).to(device)
            logits = model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits[:, -keep:]
            found.append(self._score(logits.float()).cpu())
        return torch.cat(found) if found else torch.zeros(0)

    def _score(self, logits: Tensor) -> Tensor:
        if self.answer:
            wanted = torch.tensor(self.answer, device=logits.device).expand(len(logits), -1)
            steps = logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0]
            return -steps.mean(1)
        last = logits[:, -1]
        bad, good = (last[:, list(tokens)].logsumexp(-1) for tokens in (self.unwanted, self.wanted))
        return bad - good


def probes_of(case: Case, questions: Sequence[Question]) -> list[Probe]:
    """A probe of each question that one can be made of."""
    encoder = AnswerEncoder(case.models.tokenizer, case.models.stop_ids)
    asked = prompts(case.models, questions)
    drawn = []
    if not case.asked.listed:
        drawn = own_answers(case.models, [ids for _, _, ids in asked], 1, case.settings.seed, BASE)
    found = []
    for number, (question, messages, ids) in enumerate(asked):
        around = _around(case.models.tokenizer, question.paraphrases[0], ids)
        if around is None:
            continue
        if not case.asked.listed or not enumerable(question):
            answer = drawn[number][0].ids if drawn else ()
            if answer:
                behind = answer[:-1]
                found.append(Probe({p: (b, (*a, *behind)) for p, (b, a) in around.items()}, answer=answer))
            continue
        texts = [(text, _unwanted(case, label)) for label, group in question.answers.items() for text in group]
        encoded = encoder.encode(messages, ids, [text for text, _ in texts]) or []
        sides: dict[bool, list[list[int]]] = {True: [], False: []}
        for (_, bad), tokens in zip(texts, encoded, strict=False):
            sides[bad].append(tokens)
        parted = _parting(sides[True], sides[False])
        if parted is not None:
            shared, unwanted, wanted = parted
            found.append(Probe({p: (b, (*a, *shared)) for p, (b, a) in around.items()}, unwanted, wanted))
    return found


def _unwanted(case: Case, label: str) -> bool:
    return any(is_of(wanted, label) for wanted in case.asked.labels)


def _parting(
    unwanted: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    """The longest beginning that answers of both sides share, and the tokens that follow it on each side."""
    best: tuple[int, ...] | None = None
    for one in unwanted:
        for other in wanted:
            same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
            shared = tuple(first for first, _ in same)
            if best is None or len(shared) > len(best):
                best = shared
    if best is None:
        return None
    size = len(best)
    after = [
        tuple(dict.fromkeys(ids[size] for ids in side if tuple(ids[:size]) == best and len(ids) > size))
        for side in (unwanted, wanted)
    ]
    bad = tuple(token for token in after[0] if token not in after[1])
    return (best, bad, after[1]) if bad and after[1] else None


def _around(tokenizer: Any, text: str, ids: Sequence[int]) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]] | None:
    """Tokens before and behind a hole at either end of the user's text; None where the template hides the text."""
    content = tokenizer(text, add_special_tokens=False)["input_ids"]
    size = len(content)
    starts = [i for i in range(len(ids) - size, -1, -1) if list(ids[i : i + size]) == list(content)]
    if not starts:
        return None
    before, behind = tuple(ids[: starts[0]]), tuple(ids[starts[0] + size :])
    spaced = tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
    return {"start": (before, (*spaced, *behind)), "end": ((*before, *content), behind)}


def opening(case: Case, question: Question) -> list[int] | None:
    """The template's tokens up to where a user begins to speak; None where it hides the text."""
    ((_, _, ids),) = prompts(case.models, [question])
    around = _around(case.models.tokenizer, question.paraphrases[0], ids)
    return list(around["start"][0]) or None if around else None
