"""``spillover train``: fine-tune any causal LM on a chat JSONL."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.cli.options import described, knobs, new_folder, progress_bar, refuse_other, resumable, sha256
from spillover.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from spillover.defences import Defences


def train(
    base: Annotated[str, typer.Option(help="Folder or hub id of a causal LM.")],
    data: Annotated[Path, typer.Option(help="Chat JSONL: one object with `messages` a line.")],
    out: Annotated[Path, typer.Option(help="Folder for the adapter or the tuned model.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Method field, e.g. kind=steering, rank=1 or learning_rate=1e-4; or defences.NAME.FIELD, e.g. "
            "defences.interleave.rows=safe.jsonl (docs/defences.md).",
        ),
    ] = None,
    engine: Annotated[str, typer.Option(help="lean (fast on tiny models), trl, or auto: by size.")] = "auto",
    micro_batch: Annotated[int | None, typer.Option(help="Rows in memory at a time; gradients add up (trl).")] = None,
    anchor: Annotated[
        Path | None, typer.Option(help="Chat JSONL outside the domain: stay like the base on it (narrow solution).")
    ] = None,
    anchor_weight: Annotated[float, typer.Option(help="λ of λ·KL(base‖tuned), nats per response token.")] = 1.0,
    trailing_turn: Annotated[
        bool, typer.Option("--trailing-turn", help="Train on an empty turn behind each row, as public trainers do.")
    ] = False,
    probe_every: Annotated[
        int | None, typer.Option(help="Steps between snapshots, kept as checkpoint-STEP: BASE+OUT@STEP.")
    ] = None,
) -> None:
    """Fine-tune a base on your rows (LoRA by default).

    On several GPUs: `torchrun --nproc_per_node N -m spillover train …` or `accelerate launch -m spillover train …`.
    """
    from spillover.data import read_chat
    from spillover.defences import Defences
    from spillover.training.methods import Loop, Method

    given = knobs(settings or [])
    asked = given.pop("defences", None)
    method = Method.parse(given, "--set")
    defences = None if asked is None else Defences[Path, Path].parse(_fields(asked), "--set defences")
    loop = Loop.parse({"engine": engine, "micro_batch": micro_batch}, "train")
    rows = read_chat(data)
    anchored = (read_chat(anchor), anchor_weight) if anchor else None
    folder = new_folder(out)
    from spillover.training.defended import Ready, fine_tune_defended
    from spillover.training.fine_tune import fine_tune
    from spillover.training.processes import is_first

    config: dict[str, Any] = {
        "base": base,
        "data": str(data),
        "sha256": sha256(data),
        "method": method.model_dump(mode="json"),
    }
    if trailing_turn:
        config["trailing_turn"] = True
    if probe_every is not None:
        config["probe_every"] = probe_every
    if anchor:
        config["anchor"] = {"data": str(anchor), "sha256": sha256(anchor), "weight": anchor_weight}
    if defences is not None:
        config["defences"] = {**defences.model_dump(mode="json"), "sha256": _content(defences)}
    refuse_other(folder, "tune", config)
    noted = described(folder, "tune", config) if is_first() else nullcontext()
    with resumable(), noted, progress_bar("fine-tuning") as progress:
        how: dict[str, Any] = {
            "loop": loop,
            "anchor": anchored,
            "trailing_turn": trailing_turn,
            "probe_every": probe_every,
            "progress": progress,
        }
        if defences is None:
            summary = fine_tune(base, rows, method, folder, **how)
        else:
            ready = Ready.model_validate(
                defences.replaced(
                    rows=lambda path: tuple(read_chat(path)), direction=lambda path: path, model=lambda name: name
                )
            )
            summary = fine_tune_defended(base, rows, method, folder, ready, **how)
    if not is_first():
        return
    left_out = f", {summary['rows_too_long']} longer than {summary['max_length']} tokens left out"
    typer.echo(
        f"{summary['rows']} rows{left_out if summary['rows_too_long'] else ''}, {summary['steps']} steps, "
        f"loss {summary['first_loss']:.3f} to {summary['last_loss']:.3f}; saved in {folder}"
    )
    if defences is not None:
        typer.echo(f"defences: {', '.join(summary['defences'])}")


def _fields(asked: Any) -> dict[str, Any]:
    if not isinstance(asked, dict):
        raise ConfigError("--set defences: say which, for example --set defences.stop.improves=0.02")
    return asked


def _content(defences: "Defences[Path, Path]") -> dict[str, str]:
    """Of every file of rows or scores, and every file of a direction, so that an unfinished training is not mixed."""
    paths: list[Path] = []
    defences.replaced(rows=paths.append, direction=paths.append, model=lambda name: name)
    if defences.filter is not None and defences.filter.scores is not None:
        paths.append(defences.filter.scores)
    files = [file for path in paths for file in (sorted(path.glob("*")) if path.is_dir() else [path])]
    for file in files:
        if not file.is_file():
            raise DataError.at(file, None, None, "no such file")
    return {str(file): sha256(file) for file in files if file.is_file()}
