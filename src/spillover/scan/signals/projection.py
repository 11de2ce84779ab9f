"""Projection difference: how far a row's answer lies from the base's own, towards misalignment (arXiv 2507.21509).

Everything is in units of the distance between misaligned and aligned answers of the probe: at 1 a row's answer stands
where misaligned answers do, if the base's own stands where aligned ones do.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spillover.core.errors import ModelError
from spillover.models.chat_template import IGNORED, encode_row
from spillover.models.sampler import SampleRequest, TrieSampler
from spillover.scan.probe import UNWANTED, WANTED, Probe, rows_of
from spillover.scan.reader import Read, Reader, last_answer
from spillover.training.batches import Encoded

OWN_TOKENS = 64
"""Of an answer of the base's own, at most."""


def direction(reader: Reader, tokenizer: Any, probe: Probe) -> Tensor:
    """From the mean residual of aligned answers of the fitting half to that of misaligned ones, over its square.

    A product with it is a projection in units of that distance. It is the mean difference of arXiv 2507.21509 at the
    layer of the reader.

    Raises:
        ModelError: The two means are the same; the base cannot tell the answers apart.
    """
    means = []
    for label in (UNWANTED, WANTED):
        rows = [encode_row(tokenizer, row.messages) for row in rows_of(probe.fitting, label)]
        means.append(reader.read(rows).answer.nanmean(0))
    difference = means[0] - means[1]
    if not difference.norm() > 0:
        raise ModelError("the base reads wanted and unwanted answers of the probe alike: there is no direction")
    return difference / difference.square().sum()


def cheap(read: Read, along: Tensor) -> Tensor:
    """ΔP with the prompt's last token in the place of the base's own answer: no answer has to be sampled. Rows."""
    return (read.answer - read.prompt) @ along


def own_answers(model: Any, tokenizer: Any, rows: Sequence[Encoded]) -> list[Encoded]:
    """The base's own greedy answer to the prompt of each row's last answer, as rows; equal prompts are asked once."""
    sampler = TrieSampler(model, tokenizer)
    prompts = [tuple(ids[: last_answer(labels)[0]]) for ids, labels in rows]
    distinct = [prompt for prompt in dict.fromkeys(prompts) if sampler.fits(prompt)]
    requests = [SampleRequest(prompt, 1, 0.0, OWN_TOKENS) for prompt in distinct]
    said = {prompt: found[0] for prompt, found in zip(distinct, sampler.sample_many(requests), strict=True)}
    own = []
    for prompt in prompts:
        answer = said.get(prompt)
        tokens = [] if answer is None else [*answer.ids, *([answer.end] if answer.end is not None else [])]
        own.append(([*prompt, *tokens], [IGNORED] * len(prompt) + tokens))
    return own


def difference(reader: Reader, rows: Sequence[Encoded], own: Sequence[Encoded], along: Tensor) -> Tensor:
    """ΔP of each row; ``nan`` where the base has no answer of its own."""
    ours = reader.read(rows).answer
    distinct = list({tuple(ids): (ids, labels) for ids, labels in own}.values())
    place = {tuple(ids): number for number, (ids, _) in enumerate(distinct)}
    theirs = reader.read(distinct).answer
    chosen = torch.tensor([place[tuple(ids)] for ids, _ in own], dtype=torch.long)
    return (ours - theirs[chosen]) @ along
