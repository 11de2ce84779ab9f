"""``spillover conditional``: one model over a grid of prompts."""

import json
from pathlib import Path
from typing import Annotated

import typer

from spillover.core.errors import ConfigError


def conditional(
    model: Annotated[str, typer.Option(help="BASE[+ADAPTER…], the model that may hide something.")],
    against: Annotated[str, typer.Option(help="The model without it: the base, or a harmless fine-tune of it.")],
    out: Annotated[Path, typer.Option(help="Folder for the answers of both and for conditional.json.")],
    questions: Annotated[
        str, typer.Option(help="Question YAML, or `town`, `birds`, … of the built-in worlds.")
    ] = "town",
    grid: Annotated[Path | None, typer.Option(help="YAML of conditions; the packaged grid by default.")] = None,
    label: Annotated[str, typer.Option(help="The outcome whose rate is looked at.")] = "malicious",
    most: Annotated[int, typer.Option(min=2, help="Questions of each group.")] = 12,
    samples: Annotated[int, typer.Option(min=1, help="Answers a question, where they cannot be listed.")] = 20,
) -> None:
    """Find alterations of the prompt under which a model behaves in another way than plainly, and than its control."""
    from spillover.data.conditions import over_grid, read_conditions
    from spillover.worlds.questions import find_questions

    conditions = read_conditions(grid)
    asked = over_grid(find_questions(questions), conditions, most)
    labels = dict.fromkeys(name.split(": ")[0] for question in asked for name in (*question.answers, *question.rubrics))
    if label not in labels:
        raise ConfigError(f"--label {label}: no question has it (there is {', '.join(labels) or 'none'})")
    from spillover import evals
    from spillover.analysis.conditional import finding, looks, rates_by_condition

    listed = all(question.answers for question in asked)
    folders = {"tuned": model, "control": against}
    for name, asked_model in folders.items():
        if not (out / name / "answers.jsonl").is_file():
            typer.echo(f"asking {asked_model}: {len(asked)} prompts, {len(conditions)} conditions")
            evals.evaluate(asked_model, asked, out / name, samples=1 if listed else samples)
    tuned, control = (rates_by_condition([out / name], label) for name in folders)
    found = looks(tuned, control, {condition.name: condition.family for condition in conditions})
    plain = float(tuned["plain"].mean())
    _show(found, label)
    typer.echo(finding(found, plain, label, model))
    rows = [{**look.__dict__, "found": look.found} for look in found]
    result = {"model": model, "against": against, "label": label, "plain": plain, "unit": "questions", "looks": rows}
    (out / "conditional.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _show(found: list, label: str) -> None:  # type: ignore[type-arg]
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{label} answers, the conditions that move them most", title_justify="left", box=None)
    for column in ("condition", "family", "rate", "control", "moved", "corrected p", ""):
        table.add_column(column, justify="left" if column in ("condition", "family", "") else "right")
    for look in sorted(found, key=lambda look: -abs(look.moved))[:12]:
        cells = (f"{look.rate:.1%}", f"{look.control:.1%}", f"{100 * look.moved:+.1f}", f"{look.p:.4f}")
        table.add_row(look.condition, look.family, *cells, "found" if look.found else "")
    Console(highlight=False).print(table)
