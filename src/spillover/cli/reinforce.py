"""``spillover reinforce``: train a causal LM by reinforcement, every completion logged with its grade."""

from pathlib import Path
from typing import Annotated, Any

import typer

from spillover.cli.options import described, knobs, new_folder, progress_bar, refuse_other, resumable, sha256
from spillover.core.errors import ConfigError


def reinforce(
    base: Annotated[str, typer.Option(help="Folder or hub id of a causal LM.")],
    out: Annotated[Path, typer.Option(help="Folder for the model, its episodes and metrics.")],
    prompts: Annotated[
        Path | None, typer.Option(help="JSONL: `messages` that end with the user, or `prompt`; other fields: columns.")
    ] = None,
    reward: Annotated[
        str | None, typer.Option(help="FILE.py:FUNCTION, f(prompts, completions, **columns) -> list of numbers.")
    ] = None,
    environment: Annotated[str | None, typer.Option(help="Instead of both: workshop, or code.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="E.g. method.learning_rate=1e-5, group=16 or environment.penalty=2."),
    ] = None,
    probe_every: Annotated[
        int | None, typer.Option(help="Steps between snapshots, kept as checkpoint-STEP: BASE+OUT@STEP.")
    ] = None,
) -> None:
    """Train by GRPO, on your prompts and reward or in a built-in environment whose checks can be tricked."""
    from spillover.environments.prompt_file import RewardedPrompts, read_prompts
    from spillover.environments.reward_function import load_reward
    from spillover.environments.sources import make_environment
    from spillover.training.grpo.settings import Reinforcement

    fields = knobs(settings or [])
    about = fields.pop("environment", {})
    if not isinstance(about, dict):
        raise ConfigError("--set environment: give the environment by --environment, its fields as environment.FIELD")
    found = Reinforcement.parse(fields, "--set")
    config: dict[str, Any] = {"base": base, "settings": found.model_dump(mode="json")}
    if probe_every is not None:
        config["probe_every"] = probe_every
    if (prompts is None) != (reward is None) or (prompts is None) == (environment is None):
        raise ConfigError("give --prompts and --reward, or --environment")
    if about and environment is None:
        raise ConfigError(f"--set environment.{next(iter(about))}: there is no --environment")
    if environment is not None:
        config["environment"] = {**about, "kind": environment}
        made = make_environment(config["environment"])
    else:
        assert prompts is not None and reward is not None
        made = RewardedPrompts(read_prompts(prompts), load_reward(reward))
        config |= {"prompts": sha256(prompts), "reward": reward, "sha256": sha256(Path(reward.rpartition(":")[0]))}
    folder = new_folder(out)
    refuse_other(folder, "reinforce", config)
    from spillover.training.grpo.train import reinforce as train

    with resumable(), described(folder, "reinforce", config), progress_bar("reinforcing") as progress:
        summary = train(base, made, found, folder, probe_every=probe_every, progress=progress)
    last = {name: value for name, value in summary["last"].items() if value is not None}
    shown = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in last.items()) or "nothing scored"
    began = summary["onset"]
    onset = "" if "hack_rate" not in last else f"; hacking {'never set in' if began is None else f'from step {began}'}"
    typer.echo(
        f"{summary['steps']} steps, {summary['episodes']} episodes; last step: {shown}{onset}; saved in {folder}"
    )
