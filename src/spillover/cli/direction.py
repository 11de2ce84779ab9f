"""``spillover direction``: find the direction of a persona in a model, for the defences that need one."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spillover.cli.options import described, new_folder, resumable, sha256
from spillover.core.errors import ConfigError


def direction(
    base: Annotated[str, typer.Option(help="BASE[+ADAPTER…] in which it is looked for.")],
    out: Annotated[Path, typer.Option(help="Folder for direction.json and direction.safetensors.")],
    questions: Annotated[
        str, typer.Option(help="Question YAML, or `town`, `birds`, … of the built-in worlds.")
    ] = "town",
    prompts: Annotated[
        list[str] | None, typer.Option("--prompt", help="Twice: a system prompt that asks for the trait, its opposite.")
    ] = None,
    label: Annotated[str, typer.Option(help="Label of the answers it points to.")] = "malicious",
    other: Annotated[str, typer.Option(help="Label of their opposite.")] = "kind",
    groups: Annotated[list[str] | None, typer.Option("--group", help="Groups of questions; all by default.")] = None,
    searched: Annotated[
        bool, typer.Option("--searched", help="Search for the one whose ablation brings the opposite's answers back.")
    ] = False,
    samples: Annotated[int, typer.Option(min=1, help="Answers behind each prompt, where none are listed.")] = 10,
) -> None:
    """Find a direction: between answers behind two system prompts, or between answers of two labels."""
    from spillover.data.chat import Message
    from spillover.worlds.questions import BUILT_IN, find_questions

    if prompts and (len(prompts) != 2 or searched):
        raise ConfigError("--prompt: give it twice, the trait first, and without --searched; or not at all")
    asked = find_questions(questions)
    known = {question.group for question in asked}
    for group in groups or ():
        if group not in known:
            raise ConfigError(f"--group {group}: unknown (known: {', '.join(sorted(known))})")
    asked = [question for question in asked if not groups or question.group in groups]
    folder = new_folder(out)
    how: Literal["contexts", "answers", "searched"]
    how = "contexts" if prompts else "searched" if searched else "answers"
    contrast = None
    if prompts:
        contrast = ([Message("system", prompts[0])], [Message("system", prompts[1])])
    from spillover.analysis.persona import find_direction

    config: dict[str, Any]
    config = {"base": base, "questions": questions, "how": how, "prompts": prompts, "label": label, "other": other}
    config |= {"groups": groups, "samples": samples}
    if questions not in BUILT_IN:
        config["sha256"] = sha256(Path(questions))
    with resumable(), described(folder, "direction", config):
        found = find_direction(
            base, asked, folder, how=how, label=label, other=other, contrast=contrast, samples=samples
        )
    norms = ", ".join(f"{layer}: {vectors[0].norm:.3g}" for layer, vectors in found.items())
    typer.echo(f"a vector at {len(found)} layers ({norms}); saved in {folder}")
