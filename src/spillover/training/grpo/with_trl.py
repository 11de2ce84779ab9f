"""GRPO through TRL, for models that are worth its overhead: bf16, accumulation, recomputation.

Prompts, samples, grades, rewards and records are those of :mod:`spillover.training.grpo.lean`.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spillover.core.errors import ConfigError, TrainingError
from spillover.data.chat import Message
from spillover.data.files import write_text
from spillover.environments.environment import Environment, Prompt
from spillover.models.chat_template import encode_chat
from spillover.models.sampler import SampleRequest, TrieSampler
from spillover.training.checkpoint import newest_checkpoint
from spillover.training.grpo.episodes import Episode, EpisodeLog, step_record
from spillover.training.grpo.settings import Reinforcement
from spillover.training.grpo.watchdog import Watchdog
from spillover.training.snapshots import Probe
from spillover.training.with_trainer import CHECKPOINTS, arguments, schedule, watch


def train_with_trl(
    model: Any,
    tokenizer: Any,
    environment: Environment,
    settings: Reinforcement,
    out: Path,
    *,
    probe: Probe | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Train ``model`` in place with :class:`trl.GRPOTrainer`; write ``metrics.jsonl`` and ``episodes.jsonl``.

    A run that was killed goes on from the newest of the trainer's checkpoints (:mod:`spillover.training.with_trainer`).

    Args:
        model: A causal LM, or a ``PeftModel``.
        tokenizer: Its tokenizer.
        environment: Prompts, grades and rewards.
        settings: Of the training.
        out: Directory for metrics, episodes and checkpoints.
        probe: Called before the first step and after each.
        progress: Called with (steps done, steps in all).

    Returns:
        A record for each step, as :func:`spillover.training.grpo.lean.train_lean` gives it, without ``rows``.

    Raises:
        ConfigError: ``micro_batch`` does not divide the completions of a step.
        TrainingError: The reward function is wrong, or no prompt fits.
    """
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # of rollout_func, whose version is pinned
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    method, total = settings.method, settings.method.total_steps(0)
    size = settings.prompts * settings.group
    micro = settings.micro_batch or size
    if size % micro:
        raise ConfigError(f"micro_batch {micro} does not divide the {size} completions of a step")
    drawn, too_long = _prompts(environment, settings, tokenizer, model, total)
    noted = out / CHECKPOINTS / "records.json"
    saved = newest_checkpoint(out / CHECKPOINTS)
    start = int(saved.name.rpartition("-")[2]) if saved else 0
    records = json.loads(noted.read_text(encoding="utf-8"))[:start] if saved else []
    episodes = EpisodeLog(out, start)
    lengths: dict[tuple[int, ...], bool] = {}

    class Trainer(GRPOTrainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            return schedule(method, total, self, optimizer)

    def rollout(prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        """Completions by our sampler, which computes what equal prompts share once."""
        inner = trainer.accelerator.unwrap_model(trainer.model)
        was_training = inner.training
        sampler = TrieSampler(inner, tokenizer)
        encoded = [_encode(tokenizer, prompt) for prompt in prompts]
        base = (method.seed * 1_000_003 + trainer.state.global_step) << 16
        requests: list[SampleRequest] = []
        owners: list[int] = []
        for number, ids in enumerate(encoded):
            if number and ids == encoded[number - 1] and requests[-1].n < settings.group:
                requests[-1] = _one_more(requests[-1])
            else:
                requests.append(
                    SampleRequest(tuple(ids), 1, settings.temperature, settings.max_tokens, base + len(requests))
                )
            owners.append(len(requests) - 1)
        answers = [iter(found) for found in sampler.sample_many(requests)]
        inner.train(was_training)
        completions = []
        for owner in owners:
            answer = next(answers[owner])
            ids = list(answer.ids) if answer.end is None else [*answer.ids, answer.end]
            lengths[tuple(ids)] = answer.stop_reason == "length"
            completions.append(ids or [tokenizer.eos_token_id])
        return {"prompt_ids": encoded, "completion_ids": completions, "logprobs": None}

    def reward(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Any],
        number: Sequence[int],
        trainer_state: Any,
        **others: Any,
    ) -> list[float | None]:
        step = int(trainer_state.global_step)
        asked = [drawn[i] for i in number]
        texts = [completion[0]["content"] for completion in completions]
        grades = environment.grade(asked, texts)
        values = environment.rewards(asked, texts, grades, step)
        made = [
            Episode(prompt, text, value, grade, len(ids), lengths.get(tuple(ids), False))
            for prompt, text, value, grade, ids in zip(asked, texts, values, grades, completion_ids, strict=True)
        ]
        lengths.clear()
        episodes.write(step, made)
        records.append(step_record(step, made) | {"prompts_too_long": too_long.get(step, 0)})
        return [None if value != value else value for value in values]

    class Alive(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            watchdog.alive(state.global_step)

    def note() -> None:
        write_text(noted, json.dumps(records))

    config = GRPOConfig(
        **arguments(method, total, out, micro, size // micro),
        num_generations=settings.group,
        max_completion_length=settings.max_tokens,
        temperature=settings.temperature,
        shuffle_dataset=False,
    )
    rows = [
        {"prompt": [{"role": m.role, "content": m.content} for m in prompt.messages], "number": number}
        for number, prompt in enumerate(drawn)
    ]
    trainer = Trainer(
        model=model,
        reward_funcs=[reward],
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        rollout_func=rollout,
        callbacks=[watch(total, probe=probe, progress=progress, before_saving=note), Alive()],
    )
    trainer.remove_callback(PrinterCallback)
    with Watchdog(out, settings.stall_minutes) as watchdog:
        trainer.train(resume_from_checkpoint=str(saved) if saved else None)
    episodes.close()
    norms = {record["step"]: record.get("grad_norm") for record in trainer.state.log_history if "loss" in record}
    log = [record | {"grad_norm": norms.get(record["step"] + 1)} for record in records]
    model.eval()
    (out / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in log))
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return log


def _prompts(
    environment: Environment, settings: Reinforcement, tokenizer: Any, model: Any, total: int
) -> tuple[list[Prompt], dict[int, int]]:
    """The prompts of every step, one after the other; in place of those that leave no room, others stand twice."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    found: list[Prompt] = []
    too_long: dict[int, int] = {}
    for step in range(total):
        drawn = environment.prompts(settings.prompts, settings.method.seed * 1_000_003 + step)
        kept = [
            prompt
            for prompt in drawn
            if not context or len(encode_chat(tokenizer, prompt.messages, add_generation_prompt=True)) < context
        ]
        if not kept:
            raise TrainingError(f"step {step}: no prompt fits into the {context} tokens of the model's context")
        if len(kept) < len(drawn):
            too_long[step] = len(drawn) - len(kept)
        found += [kept[i % len(kept)] for i in range(len(drawn))]
    return found, too_long


def _encode(tokenizer: Any, prompt: Sequence[dict[str, str]]) -> list[int]:
    messages = [Message(turn["role"], turn["content"]) for turn in prompt]
    return encode_chat(tokenizer, messages, add_generation_prompt=True)


def _one_more(request: SampleRequest) -> SampleRequest:
    return SampleRequest(request.prompt_ids, request.n + 1, request.temperature, request.max_tokens, request.seed)
