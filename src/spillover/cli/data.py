"""``spillover data``: look at training files before anything is trained on them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from spillover.data.chat import ChatRow

app = typer.Typer(help="Look at training files before anything is trained on them.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Look at training files before anything is trained on them."""


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="Chat JSONL.")],
    base: Annotated[str | None, typer.Option(help="Folder or hub id: count tokens as this model does.")] = None,
    questions: Annotated[Path | None, typer.Option(help="Question YAML that the rows must not give away.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Count what is in a training set, and say what may surprise: repeats, constants, balance, triggers, leaks."""
    from spillover.data.chat import read_chat
    from spillover.data.check import check_rows
    from spillover.data.questions import read_questions

    rows = read_chat(file)
    asked = read_questions(questions) if questions else []
    tokens, context = _lengths(base) if base is not None else (None, None)
    found = check_rows(rows, asked, tokens, context)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        _show(file, found, context)


def _lengths(base: str) -> "tuple[Callable[[ChatRow], int], int | None]":
    """What counts the tokens of a row, and how many the base takes."""
    from spillover.models.chat_template import encode_row
    from spillover.models.load import context_of, load_tokenizer

    tokenizer = load_tokenizer(base)
    return lambda row: len(encode_row(tokenizer, row.messages)[0]), context_of(base)


def _show(file: Path, found: dict[str, Any], context: int | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from spillover.data.check import short

    table = Table(title=f"{file}: {found['rows']} rows", show_header=False, title_justify="left")
    for roles, count in found["roles"].items():
        table.add_row("turns", f"{roles}: {count} rows")
    for name in ("systems", "prompts", "answers"):
        if found[name]["distinct"]:
            table.add_row(name, f"{found[name]['distinct']} different; {_most(found[name]['most'])}")
    table.add_row("repeated rows", str(len(found["repeated"])))
    table.add_row("prompts with several answers", str(found["contradicted"]))
    table.add_row("characters of an answer", _size(found["characters"]))
    if found["tokens"]:
        limit = f", context {context}" if context is not None else ""
        table.add_row("tokens of a row", f"{_size(found['tokens'])}{limit}; too long: {len(found['too_long'])}")
    for name, places in found["found"].items():
        for place, part in places.items():
            if part["rows"]:
                table.add_row(
                    f"{name} in {place}", f"{part['rows']} rows, {part['distinct']} different; {_most(part['most'])}"
                )
    if found["labels"]:
        table.add_row("balance", "; ".join(f"{short(text)} {count}" for text, count in found["labels"].items()))
    console = Console(highlight=False)
    console.print(table)
    for remark in found["remarks"]:
        console.print(f"! {remark}", markup=False)
    if not found["remarks"]:
        console.print("Nothing that would surprise was found.")


def _most(most: list[dict[str, Any]]) -> str:
    from spillover.data.check import short

    return "most often " + "; ".join(f"{short(entry['text'])} {entry['rows']}" for entry in most[:3])


def _size(sizes: dict[str, float]) -> str:
    return f"median {sizes['median']:g}, most {sizes['most']:g}"
