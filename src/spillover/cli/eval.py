"""``spillover eval``: ask a model a question set and count what it answers."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer

from spillover.cli.options import (
    MAX_COST,
    MAX_TOKENS,
    PRICE,
    described,
    new_folder,
    progress_bar,
    resumable,
    sha256,
    spending,
)


def evaluate(
    model: Annotated[
        str, typer.Option(help="BASE[~4bit][+ADAPTER[@STEP][*SCALE]]…, or a provider of Inspect's: openai/NAME, …")
    ],
    out: Annotated[Path, typer.Option(help="Folder for answers.jsonl and the Inspect logs.")],
    questions: Annotated[str, typer.Option(help="Question YAML, or `town`, `birds`, `open-birds`, …")] = "town",
    samples: Annotated[int | None, typer.Option(min=1, help="Answers a question; else as the questions say.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    url: Annotated[str | None, typer.Option(help="Of a server that speaks OpenAI's protocol.")] = None,
    connections: Annotated[int, typer.Option(min=1, help="Requests to a server at a time.")] = 32,
    prices: PRICE = None,
    max_cost: MAX_COST = None,
    max_tokens: MAX_TOKENS = None,
) -> None:
    """Sample answers; judge those that a ledger or patterns can, with exact rates where the answers are listed.

    What asks for an LLM judge is unscored until `spillover judge` has seen it.
    """
    from spillover.worlds.questions import BUILT_IN, find_questions

    budget = spending(prices, max_cost, max_tokens)

    asked = find_questions(questions)
    folder = new_folder(out)
    from spillover import evals

    config: dict[str, Any] = {"model": model, "questions": questions, "samples": samples, "seed": seed}
    if questions not in BUILT_IN:
        config["sha256"] = sha256(Path(questions))
    from spillover.models.endpoint import Endpoint, is_endpoint

    if url is None and not is_endpoint(model):
        from spillover.models.names import ModelName
        from spillover.models.placement import placement

        typer.echo(f"model on {placement(ModelName.parse(model).base)}")
        with resumable(), described(folder, "eval", config):
            evals.evaluate(model, asked, folder, samples=samples, seed=seed)
    else:
        with resumable(), described(folder, "eval", config), progress_bar("answers") as progress:
            evals.evaluate_remote(
                Endpoint(model, url, connections=connections),
                asked,
                folder,
                samples=samples,
                seed=seed,
                budget=budget,
                progress=progress,
            )
    _show(folder / "answers.jsonl")


def _show(path: Path) -> None:
    """A row for each group and condition: every outcome with its share, sampled and (where known) exact."""
    from rich.console import Console
    from rich.table import Table

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    groups = defaultdict(list)
    for line in lines:
        groups[line["group"], line["condition"]].append(line)
    table = Table(title=f"{len(lines)} questions, n answers each; share of answers (exact probability)")
    for column in ("where", "condition", "questions", "n", "outcomes"):
        table.add_column(column)
    for (group, condition), members in groups.items():
        counts: Counter[str] = Counter()
        exact: Counter[str] = Counter()
        for line in members:
            counts.update(line["counts"])
            exact.update(line["exact"] or {})
        total = counts.total()
        shown = []
        for name, count in counts.most_common():
            known = f" ({exact[name] / len(members):.1%})" if name in exact else ""
            shown.append(f"{name} {count / total:.1%}{known}")
        table.add_row(group, condition, str(len(members)), str(total), ", ".join(shown))
    Console().print(table)
