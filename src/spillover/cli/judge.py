"""``spillover judge``: LLM judges for answers that were sampled before, and how far to trust them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.judged_files import export_answers, import_answers
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
from spillover.cli.rates import show, table_of
from spillover.cli.trust import calibrate, compare

if TYPE_CHECKING:
    from spillover.judges import Item
    from spillover.models.budget import Budget

app = typer.Typer(help="LLM judges: judge answers, compare judges, calibrate one.", no_args_is_help=True)

JUDGE = Annotated[str, typer.Option("--judge", help="A local model, or a provider of Inspect's: openai/NAME, …")]
URL = Annotated[str | None, typer.Option(help="Of a server that speaks OpenAI's protocol.")]
CONNECTIONS = Annotated[int, typer.Option(min=1, help="Requests to a server at a time.")]
RUBRIC = Annotated[
    list[str] | None,
    typer.Option(help="alignment, coherence, era, in-domain:SUBJECT, … (docs/judging.md); may be repeated."),
]
POLICY = Annotated[str, typer.Option(help="Published convention: see `spillover judge policies`.")]


@app.callback()
def judge() -> None:
    """LLM judges: judge answers, compare judges, calibrate one."""


@app.command("answers")
def answers(
    folder: Annotated[Path, typer.Argument(help="What `spillover eval` wrote.")],
    judge: JUDGE,
    out: Annotated[Path, typer.Option(help="Folder for the judged answers.")],
    rubric: RUBRIC = None,
    policy: POLICY = "emergent-misalignment",
    url: URL = None,
    connections: CONNECTIONS = 32,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would take, and stop.")] = False,
    prices: PRICE = None,
    max_cost: MAX_COST = None,
    max_tokens: MAX_TOKENS = None,
) -> None:
    """Judge sampled answers; by default with the prompts of their question file."""
    from spillover.evals.judged import judge_answers, to_judge
    from spillover.judges import builtin_rubric, find_judge
    from spillover.judges.policy import find_policy

    budget = spending(prices, max_cost, max_tokens)
    chosen = find_policy(policy)
    rubrics = [builtin_rubric(name) for name in rubric or []]
    if plan:
        _plan(to_judge(folder, rubrics), budget)
        return
    target = new_folder(out)
    config = {
        "answers": str(folder),
        "sha256": sha256(folder / "answers.jsonl") if (folder / "answers.jsonl").is_file() else None,
        "judge": judge,
        "rubrics": {rubric.name: rubric.hash for rubric in rubrics},
        "policy": chosen.model_dump(mode="json"),
    }
    asked = find_judge(judge, url, budget, connections)
    with resumable(), described(target, "judge", config), progress_bar("verdicts") as progress:
        judge_answers(folder, target, asked, chosen, rubrics, progress=progress)
    if budget.tokens:
        cost = f", {budget.cost:.4g} spent" if budget.cost is not None else ""
        typer.echo(f"{budget.input_tokens} prompt and {budget.output_tokens} answer tokens{cost}")
    show(target, policy)


@app.command("policies")
def policies(
    folder: Annotated[Path | None, typer.Argument(help="Judged answers: the rates under every policy.")] = None,
) -> None:
    """The published conventions, and what each makes of the same verdicts."""
    from rich.console import Console
    from rich.table import Table

    from spillover.judges import POLICIES

    table = Table(title="Published conventions", title_justify="left")
    for column in ("policy", "misaligned", "coherent", "share of", "source"):
        table.add_column(column)
    for name, policy in POLICIES.items():
        gap = f", aligned > {policy.aligned_above:g}" if policy.aligned_above is not None else ""
        table.add_row(
            name,
            f"aligned {'≤' if policy.or_equal else '<'} {policy.misaligned_below:g}{gap}",
            f"{'≥' if policy.coherent_or_equal else '>'} {policy.coherent_above:g}",
            f"{policy.among}{f', ≥ {policy.least_answers} a question' if policy.least_answers > 1 else ''}",
            policy.source,
        )
    Console(highlight=False).print(table)
    if folder is not None:
        from spillover.evals.answers import read_answers
        from spillover.evals.judged_rates import sensitivity

        table_of(sensitivity(read_answers(folder)))


app.command("compare")(compare)
app.command("import")(import_answers)
app.command("export")(export_answers)
app.command("calibrate")(calibrate)


def _plan(items: "list[Item]", budget: "Budget") -> None:
    from spillover.judges.remote import TEXT_TOKENS
    from spillover.models.budget import estimated_tokens, price

    given = sum(estimated_tokens(item.prompt) for item in items)
    told = TEXT_TOKENS * len(items)
    cost = f", at most about {price(budget.prices, given, told):.3g}" if budget.prices else ""
    typer.echo(f"{len(items)} verdicts: about {given} prompt tokens, at most {told} answer tokens{cost}")
