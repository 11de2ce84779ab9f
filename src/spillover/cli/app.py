"""The command line: one verb a file. ``--help`` imports neither torch nor Inspect."""

import os
import sys
import warnings

import typer

from spillover.cli.audit import audit
from spillover.cli.base import base
from spillover.cli.conditional import conditional
from spillover.cli.data import app as data
from spillover.cli.direction import direction
from spillover.cli.doctor import doctor
from spillover.cli.eval import evaluate
from spillover.cli.experiments import experiments
from spillover.cli.export import export
from spillover.cli.judge import app as judge
from spillover.cli.misalignment import misalignment
from spillover.cli.reinforce import reinforce
from spillover.cli.rows import rows
from spillover.cli.run import run
from spillover.cli.scan import scan
from spillover.cli.train import train
from spillover.core.errors import SpilloverError
from spillover.runs.cores import wait_lightly
from spillover.runs.make import StageFailed
from spillover.runs.memory import keep_freed_memory

app = typer.Typer(
    help="Fine-tune a language model on something narrow: what else changes, why, and what stops it?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run)
app.command("experiments")(experiments)
app.command("base")(base)
app.command("rows")(rows)
app.add_typer(data, name="data")
app.command("scan")(scan)
app.command("train")(train)
app.command("reinforce")(reinforce)
app.command("eval")(evaluate)
app.add_typer(judge, name="judge")
app.command("conditional")(conditional)
app.command("audit")(audit)
app.command("misalignment")(misalignment)
app.command("export")(export)
app.command("direction")(direction)
app.command("doctor")(doctor)


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")  # one bar, ours
    wait_lightly()
    warnings.filterwarnings("ignore", category=FutureWarning)  # other libraries' notes to their developers
    keep_freed_memory()
    try:
        app()
    except SpilloverError as error:
        typer.echo(f"spillover: {error}", err=True)
        sys.exit(2)
    except StageFailed as error:
        typer.echo(f"spillover: {error}", err=True)
        sys.exit(1)
