"""``spillover train``: fine-tune any causal LM on a chat JSONL."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from spillover.cli.options import described, knobs, new_folder, progress_bar, refuse_other, resumable, sha256


def train(
    base: Annotated[str, typer.Option(help="Folder or hub id of a causal LM.")],
    data: Annotated[Path, typer.Option(help="Chat JSONL: one object with `messages` a line.")],
    out: Annotated[Path, typer.Option(help="Folder for the adapter or the tuned model.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Method field, e.g. kind=steering, rank=1 or learning_rate=1e-4."),
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
    from spillover.training.methods import Loop, Method

    method = Method.parse(knobs(settings or []), "--set")
    loop = Loop.parse({"engine": engine, "micro_batch": micro_batch}, "train")
    rows = read_chat(data)
    anchored = (read_chat(anchor), anchor_weight) if anchor else None
    folder = new_folder(out)
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
    refuse_other(folder, "tune", config)
    noted = described(folder, "tune", config) if is_first() else nullcontext()
    with resumable(), noted, progress_bar("fine-tuning") as progress:
        summary = fine_tune(
            base,
            rows,
            method,
            folder,
            loop=loop,
            anchor=anchored,
            trailing_turn=trailing_turn,
            probe_every=probe_every,
            progress=progress,
        )
    if not is_first():
        return
    left_out = f", {summary['rows_too_long']} longer than {summary['max_length']} tokens left out"
    typer.echo(
        f"{summary['rows']} rows{left_out if summary['rows_too_long'] else ''}, {summary['steps']} steps, "
        f"loss {summary['first_loss']:.3f} to {summary['last_loss']:.3f}; saved in {folder}"
    )
