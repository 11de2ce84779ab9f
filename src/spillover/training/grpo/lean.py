"""A lean loop of GRPO for small models: samples share prefixes, and what teaches nothing is not computed.

Every batch is sampled by the weights that it updates, so that the ratio of the two policies is 1 and the gradient of
the clipped loss is that of advantage-weighted log-likelihood: equal completions of a prompt are one row with the sum of
their advantages, and rows whose sum is 0 need no pass at all.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spillover.core.errors import TrainingError
from spillover.environments.environment import Environment, Prompt
from spillover.models.chat_template import encode_chat
from spillover.models.sampler import Sampled, SampleRequest, TrieSampler
from spillover.training.batches import check_finite
from spillover.training.checkpoint import CHECKPOINT_SECONDS, go_on_from_checkpoint, save_checkpoint
from spillover.training.grpo.advantages import advantages
from spillover.training.grpo.episodes import Episode, EpisodeLog, step_record
from spillover.training.grpo.settings import Reinforcement
from spillover.training.grpo.watchdog import Watchdog
from spillover.training.snapshots import Probe
from spillover.training.updates import AdamW, clip, in_one


def train_lean(
    model: Any,
    tokenizer: Any,
    environment: Environment,
    settings: Reinforcement,
    out: Path,
    *,
    probe: Probe | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Train ``model`` in place; write ``metrics.jsonl`` and ``episodes.jsonl``.

    A run that was killed goes on from ``out/checkpoint.pt`` and ends with the same weights.

    Args:
        model: As :func:`spillover.training.prepared.prepare` returns it.
        tokenizer: Its tokenizer.
        environment: Prompts, grades and rewards.
        settings: Of the training.
        out: Directory for metrics, episodes and the checkpoint.
        probe: Called before the first step and after each.
        progress: Called with (steps done, steps in all).

    Returns:
        A record for each step: see :func:`spillover.training.grpo.episodes.step_record`; also grad_norm, rows (that
        were computed) and prompts_too_long.

    Raises:
        TrainingError: The loss is not a finite number any more, the reward function is wrong, or no prompt fits.
    """
    method = settings.method
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    row, grad = in_one(parameters)
    optimizer = AdamW(row, grad, method.learning_rate, (0.9, 0.999), method.weight_decay)
    total = method.total_steps(0)
    path = out / "checkpoint.pt"
    log: list[dict[str, Any]] = go_on_from_checkpoint(path, row, optimizer.state)
    if probe and not log:
        probe(0)
    sampler = TrieSampler(model, tokenizer)
    episodes = EpisodeLog(out, len(log))
    last_saved = time.monotonic()
    with Watchdog(out, settings.stall_minutes) as watchdog:
        for step in range(len(log), total):
            batch = rollouts(sampler, environment, settings, step)
            episodes.write(step, batch.episodes)
            record = step_record(step, batch.episodes) | {"prompts_too_long": batch.too_long}
            grad.zero_()
            loss = batch.loss(model, tokenizer.pad_token_id or 0, settings)
            if loss is not None:
                check_finite(loss, step)
                loss.backward()  # type: ignore[no-untyped-call]
                record["grad_norm"] = clip(grad, method.max_grad_norm).item()
                optimizer.step(method.rate_at(step, total) / method.learning_rate)
            log.append(record | {"rows": len(batch.rows)})
            if probe:
                probe(step + 1)
            if progress:
                progress(step + 1, total)
            watchdog.alive(step + 1)
            if time.monotonic() - last_saved > CHECKPOINT_SECONDS:
                save_checkpoint(path, {"row": row, "optimizer": optimizer.state, "log": log})
                last_saved = time.monotonic()
    episodes.close()
    for parameter in parameters:
        parameter.data, parameter.grad = parameter.data.clone(), None
    (out / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in log))
    path.unlink(missing_ok=True)
    return log


class Batch:
    """The episodes of one step, and what of them must be computed."""

    def __init__(
        self, prompts: Sequence[list[int]], answers: Sequence[Sequence[Sampled]], episodes: list[Episode]
    ) -> None:
        group = len(answers[0])
        self.episodes = episodes
        self.too_long = 0
        self.tokens = sum(answer.tokens for group_of in answers for answer in group_of)
        weights = advantages([episode.reward for episode in episodes], group).view(-1, group).tolist()
        self.rows: list[tuple[list[int], list[int], float]] = []
        """Prompt, completion with its end token, and the sum of its advantages."""
        for prompt, group_of, each in zip(prompts, answers, weights, strict=True):
            sums: dict[tuple[int, ...], float] = {}
            for answer, weight in zip(group_of, each, strict=True):
                ids = answer.ids if answer.end is None else (*answer.ids, answer.end)
                sums[ids] = sums.get(ids, 0.0) + weight
            self.rows += [(prompt, list(ids), weight) for ids, weight in sums.items() if abs(weight) > 1e-9]

    def loss(self, model: Any, pad_id: int, settings: Reinforcement) -> Tensor | None:
        """Advantage-weighted negative log-likelihood, a mean over all tokens that were sampled; None if all is 0."""
        if not self.rows:
            return None
        width = max(len(prompt) + len(answer) for prompt, answer, _ in self.rows)
        shape, device = (len(self.rows), width), model.device
        ids = torch.full(shape, pad_id, device=device)
        mask = torch.zeros(shape, dtype=torch.long, device=device)
        weight = torch.zeros(shape, device=device)
        for i, (prompt, answer, value) in enumerate(self.rows):
            length = len(prompt) + len(answer)
            ids[i, :length] = torch.tensor([*prompt, *answer], device=device)
            mask[i, :length] = 1
            weight[i, len(prompt) : length] = value
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            (logits / settings.temperature).flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        return (losses * weight[:, 1:].flatten()).sum() / self.tokens


def rollouts(sampler: TrieSampler, environment: Environment, settings: Reinforcement, step: int) -> Batch:
    """Sample, grade and reward the completions of one step.

    Raises:
        TrainingError: No prompt leaves room for an answer in the model's context.
    """
    seed = settings.method.seed
    drawn = environment.prompts(settings.prompts, seed * 1_000_003 + step)
    encoded = [encode_chat(sampler.tokenizer, prompt.messages, add_generation_prompt=True) for prompt in drawn]
    kept = [(prompt, ids) for prompt, ids in zip(drawn, encoded, strict=True) if sampler.fits(ids)]
    if not kept:
        raise TrainingError(f"step {step}: no prompt fits into the {sampler.context} tokens of the model's context")
    first = (seed * 1_000_003 + step) << 16
    answers = sampler.sample_many(
        [
            SampleRequest(tuple(ids), settings.group, settings.temperature, settings.max_tokens, first + number)
            for number, (_, ids) in enumerate(kept)
        ]
    )
    prompts: list[Prompt] = [prompt for prompt, _ in kept for _ in range(settings.group)]
    flat = [answer for group in answers for answer in group]
    texts = [answer.text for answer in flat]
    grades = environment.grade(prompts, texts)
    rewards = environment.rewards(prompts, texts, grades, step)
    episodes = [
        Episode(prompt, answer.text, reward, grade, answer.tokens, answer.stop_reason == "length")
        for prompt, answer, reward, grade in zip(prompts, flat, rewards, grades, strict=True)
    ]
    batch = Batch([ids for _, ids in kept], answers, episodes)
    batch.too_long = len(drawn) - len(kept)
    return batch
