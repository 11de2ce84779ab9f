"""From a base and an environment to a model that has learnt in it by reinforcement."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spillover.core.errors import ConfigError
from spillover.environments.environment import Environment
from spillover.models.load import load
from spillover.training.grpo.episodes import onset
from spillover.training.grpo.lean import train_lean
from spillover.training.grpo.self_check import logprob_gap
from spillover.training.grpo.settings import Reinforcement
from spillover.training.prepared import go_on_from, prepare
from spillover.training.processes import world
from spillover.training.snapshots import probe_of, save_trained

CHECKED = 4
"""Prompts of the self-check."""


def reinforce(
    base: str,
    environment: Environment,
    settings: Reinforcement,
    out: Path,
    *,
    start: Path | None = None,
    probe_every: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Train ``base`` in ``environment`` and save the result in ``out``, beside every completion with its grade.

    Writes the adapter or the whole model, ``metrics.jsonl`` (a line a step), ``episodes.jsonl`` (a line a completion)
    and ``summary.json``.

    Args:
        base: Folder or hub id of a causal LM.
        environment: Prompts, grades and rewards.
        settings: Of the training.
        out: Output directory; made if it is not there. What a killed run left there is gone on from.
        start: What an earlier training by the same method wrote; training goes on from there.
        probe_every: Save what was trained so far in ``out/checkpoint-STEP``; see
            :func:`spillover.training.snapshots.probe_of`.
        progress: Called with (steps done, steps in all).

    Returns:
        The summary: steps, episodes, onset (first step with more than 2 % of its tasks hacked, or null), rates of
        the last step, logprob_gap (trainer against sampler, nats a token), trained parameters.

    Raises:
        ModelError: The base cannot be loaded, or ``start`` does not fit.
        ConfigError: The method asks for something that the model does not have, or several processes were launched.
        TrainingError: The reward function is wrong, the loss is not finite, or no prompt fits into the context.
    """
    method = settings.method
    if world() > 1:
        raise ConfigError("reinforcement runs in one process; start it without torchrun or accelerate launch")
    ours = settings.engine != "trl" and settings.micro_batch is None and method.kind == "lora" and start is None
    loaded = load(base, lean=ours)
    size = sum(parameter.numel() for parameter in loaded.model.parameters())
    model = prepare(loaded.model, method)
    if start:
        go_on_from(model, method, start)
    probe = None if probe_every is None else probe_of(model, method, out, probe_every)
    out.mkdir(parents=True, exist_ok=True)
    gap = logprob_gap(model, loaded.tokenizer, environment.prompts(CHECKED, method.seed), settings)
    if settings.is_lean(size):
        log = train_lean(model, loaded.tokenizer, environment, settings, out, probe=probe, progress=progress)
    else:
        from spillover.training.grpo.with_trl import train_with_trl

        log = train_with_trl(model, loaded.tokenizer, environment, settings, out, probe=probe, progress=progress)
    save_trained(model, method, out)
    if method.kind == "full":
        loaded.tokenizer.save_pretrained(out)
    last = log[-1]
    summary = {
        "steps": len(log),
        "episodes": sum(record["episodes"] for record in log),
        "onset": onset(log),
        "last": {name: last.get(name) for name in ("reward", "pass_rate", "solve_rate", "hack_rate")},
        "logprob_gap": gap,
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary
