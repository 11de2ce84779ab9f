"""``spillover judge import`` and ``export``: judged answers of other people, and ours for them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import described, new_folder, sha256


def import_answers(
    file: Annotated[Path, typer.Argument(help="CSV or JSONL: question, answer, perhaps model, and a column a metric.")],
    out: Annotated[Path, typer.Option(help="Folder for the judged answers.")],
    policy: Annotated[str, typer.Option(help="See `spillover judge policies`.")] = "emergent-misalignment",
) -> None:
    """Take answers that were judged elsewhere, to score them again under any policy or to compare judges."""
    from spillover.cli.rates import show
    from spillover.data import read_judged
    from spillover.evals.answers import write_answers
    from spillover.evals.judged_files import lines_of
    from spillover.judges.policy import find_policy

    chosen = find_policy(policy)
    lines = lines_of(read_judged(file), chosen)
    folder = new_folder(out)
    config = {"file": str(file), "sha256": sha256(file), "policy": chosen.model_dump(mode="json")}
    with described(folder, "judge", config):
        write_answers(folder, lines)
    show(folder, policy)


def export_answers(
    folder: Annotated[Path, typer.Argument(help="Judged answers.")],
    out: Annotated[Path, typer.Option(help="A .csv or .jsonl file.")],
) -> None:
    """Write judged answers as the CSV or JSONL that others read: a row a sample, a column a metric."""
    from spillover.data import write_judged
    from spillover.evals.answers import read_answers
    from spillover.evals.judged_files import judged_of

    rows = judged_of(read_answers(folder), _model(folder))
    write_judged(rows, out)
    typer.echo(f"{len(rows)} judged answers in {out}")


def _model(folder: Path) -> str | None:
    """The model that was asked, where the folders still say so."""
    try:
        asked = json.loads((folder / "stage.json").read_text(encoding="utf-8"))["config"]["answers"]
        return str(json.loads((Path(asked) / "stage.json").read_text(encoding="utf-8"))["config"]["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
