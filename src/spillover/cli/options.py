"""What several verbs share: ``--set name=value``, output folders and a progress bar."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from spillover.core.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from spillover.models.budget import Budget

FINISHED = ("config.json", "adapter_config.json", "steering.json", "direction.json", "answers.jsonl")
"""Files that stand in a folder when a verb has ended."""
PRICE = Annotated[
    str | None, typer.Option("--price", help="IN,OUT: what a million prompt and answer tokens cost, e.g. 2.5,10.")
]
MAX_COST = Annotated[float | None, typer.Option(min=0, help="Stop when this much is spent (needs --price).")]
MAX_TOKENS = Annotated[int | None, typer.Option(min=1, help="Stop when this many tokens are spent.")]


def spending(price: str | None, max_cost: float | None, max_tokens: int | None) -> "Budget":
    """The limits that a verb was given.

    Raises:
        ConfigError: The prices are not two numbers, or missing where a limit needs them.
    """
    from spillover.models.budget import Budget

    prices = None
    if price is not None:
        parts = price.split(",")
        try:
            prices = (float(parts[0]), float(parts[1]))
        except (ValueError, IndexError):
            raise ConfigError(f"--price {price}: expected IN,OUT, for example 2.5,10") from None
        if len(parts) != 2 or min(prices) < 0:
            raise ConfigError(f"--price {price}: expected two prices of at least 0")
    return Budget(max_tokens, max_cost, prices)


def knobs(pairs: list[str], option: str = "--set") -> dict[str, Any]:
    """``["noise=0.1"]`` to ``{"noise": 0.1}``; dots nest, so ``world.noise=0.1`` sets a field of a field.

    Raises:
        ConfigError: A pair has no ``=``, its value is no YAML, or its name is that of a value and of a group of them.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise ConfigError(f"{option} {pair}: expected name=value")
        *parents, last = name.split(".")
        inner = values
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise ConfigError(
                    f"{option} {pair}: '{parent}' was set to a value before; its fields cannot be set too"
                )
        try:
            inner[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"{option} {pair}: '{text}' is not YAML") from None
    return values


def new_folder(out: Path) -> Path:
    """Make the folder that a verb writes to.

    Raises:
        StorageError: It holds a finished result already, or cannot be made.
    """
    if any((out / name).exists() for name in FINISHED):
        raise StorageError(f"{out}: holds a finished result; choose another --out or remove it")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".writable").touch()
        (out / ".writable").unlink()
    except OSError as error:
        raise StorageError(f"{out}: cannot write there ({error.strerror})") from None
    return out


def refuse_other(folder: Path, kind: str, config: dict[str, Any]) -> None:
    """Going on with other settings than those that a checkpoint was made with would mix the two.

    Raises:
        StorageError: The folder holds an unfinished training of another config.
    """
    signs = ("checkpoint.pt", "checkpoints/checkpoint-*", "before-realign")
    begun = any(any(folder.glob(sign)) for sign in signs)
    if not begun or not (folder / "stage.json").is_file():
        return
    noted = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
    if (noted["kind"], noted["config"]) != (kind, json.loads(json.dumps(config))):
        raise StorageError(
            f"{folder}: holds an unfinished training of other settings; choose another --out or remove it"
        )


def sha256(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def described(folder: Path, kind: str, config: dict[str, Any]) -> Iterator[None]:
    """Write ``stage.json`` (what was asked) before the work and ``env.json`` (with what, how long) after it."""
    from spillover.core.disk import write_json
    from spillover.runs.versions import environment

    started = time.monotonic()
    write_json(folder / "stage.json", {"kind": kind, "config": config, "inputs": {}})
    yield
    write_json(folder / "env.json", environment(time.monotonic() - started))


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C ends the verb with one line; what is finished or in a checkpoint stays."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("spillover: interrupted; what is finished is kept, the same command goes on from there", err=True)
        raise typer.Exit(130) from None


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float, float], None]]:
    """A bar with rate and time left on a terminal; nothing otherwise."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
