"""``spillover base``: pretrain a small language model on the built-in world."""

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import described, knobs, new_folder, progress_bar, resumable


def base(
    out: Annotated[Path, typer.Option(help="Folder for the base, in Hugging Face format.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Recipe field, e.g. world.malicious=0.3 or tokens=2000000.")
    ] = None,
) -> None:
    """Pretrain a base on the world `town` and chat-tune it."""
    from spillover.training.pretrain import pretrain
    from spillover.training.recipe import BaseRecipe

    recipe = BaseRecipe.parse(knobs(settings or []), "--set")
    folder = new_folder(out)
    described_as = described(folder, "base", recipe.model_dump(mode="json"))
    with resumable(), described_as, progress_bar("pretraining") as progress:
        pretrain(recipe, folder, progress)
    typer.echo(f"base saved in {folder}")
