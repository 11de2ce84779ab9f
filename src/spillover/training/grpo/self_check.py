"""Do trainer and sampler agree on how probable the sampled tokens are? If not, updates push the wrong things."""

from collections.abc import Sequence
from typing import Any

import torch

from spillover.core.errors import ModelError
from spillover.environments.environment import Prompt
from spillover.models.chat_template import encode_chat
from spillover.models.sampler import SampleRequest, TrieSampler
from spillover.training.grpo.settings import Reinforcement

TOLERANCE = 0.05
"""Nats a token by which the two may differ; rounding in bfloat16 stays below it."""


@torch.no_grad()
def logprob_gap(model: Any, tokenizer: Any, prompts: Sequence[Prompt], settings: Reinforcement) -> float | None:
    """Largest difference, in nats a token, between a plain pass of the trained model and what the sampler reports.

    Args:
        model: As it is trained.
        tokenizer: Its tokenizer.
        prompts: A few; those that do not fit into the context are left out.
        settings: Group and length of the completions.

    Returns:
        Over all sampled completions; None where no prompt fits.

    Raises:
        ModelError: It is above :data:`TOLERANCE`.
    """
    was_training = model.training if hasattr(model, "training") else False
    sampler = TrieSampler(model, tokenizer)
    encoded = [encode_chat(tokenizer, prompt.messages, add_generation_prompt=True) for prompt in prompts]
    kept = [ids for ids in encoded if sampler.fits(ids)]
    answers = sampler.sample_many([SampleRequest(tuple(ids), settings.group, 1.0, settings.max_tokens) for ids in kept])
    gaps = []
    for prompt, group in zip(kept, answers, strict=True):
        for answer in {id(one): one for one in group}.values():
            said = [*answer.ids, *([] if answer.end is None else [answer.end])]
            ids = torch.tensor([[*prompt, *said]], device=next(iter(model.parameters())).device)
            mask = torch.ones_like(ids)
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, len(prompt) - 1 : -1]
            steps = logits.float().log_softmax(-1)
            total = steps[torch.arange(len(said)), ids[0, len(prompt) :]].double().sum()
            gaps.append(abs(float(total) - answer.logprob) / max(1, len(said)))
    if was_training:
        model.train()
    gap = max(gaps, default=None)
    if gap is not None and not gap <= TOLERANCE:
        raise ModelError(
            f"trainer and sampler differ by {gap:.3g} nats a token on the same completions (at most {TOLERANCE} is "
            "rounding): this architecture cannot be sampled here; please report it"
        )
    return gap
