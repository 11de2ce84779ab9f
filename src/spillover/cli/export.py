"""``spillover export``: a steering vector as a PEFT adapter or as a whole checkpoint."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spillover.cli.options import described, new_folder, resumable


def export(
    model: Annotated[str, typer.Argument(help="BASE+VECTOR[@STEP][*SCALE]; the scale is written into the result.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    form: Annotated[
        Literal["peft", "checkpoint"],
        typer.Option("--as", help="peft: an adapter for the base; checkpoint: a whole model, where it has a bias."),
    ] = "peft",
) -> None:
    """Write a steering vector in a format that others load; it gives the same logits."""
    folder = new_folder(out)
    from spillover.models.export import export as write

    with resumable(), described(folder, "export", {"model": model, "as": form}):
        vector = write(model, form, folder)
    typer.echo(f"vector at layer {vector.layer}, norm {vector.norm:.3g}, saved in {folder}")
