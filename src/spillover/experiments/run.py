"""Run an experiment: make what is missing, gather the results, write them and the report."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spillover import __version__
from spillover.analysis.library import USED_BY, need_library
from spillover.core.disk import disk, write_json
from spillover.experiments.collect import collect
from spillover.experiments.experiment import Experiment
from spillover.experiments.forecasting import keep_coefficients
from spillover.experiments.stages import Cell, Planner
from spillover.runs.execute import Executor, execute
from spillover.runs.stage import Stage, in_order
from spillover.runs.store import Store
from spillover.runs.versions import versions


def run(experiment: Experiment, out: Path, store: Store, executor: Executor | None = None) -> dict[str, Any]:
    """Run to the end and write ``results.json``, ``provenance.json``, ``transcripts.jsonl`` and the report to ``out``.

    Args:
        experiment: What to run.
        out: Directory of the run.
        store: Where stages are kept; what is there is not made again.
        executor: What makes the stages; by default a process for each core.

    Returns:
        The content of ``results.json``.

    Raises:
        SpilloverError: A user's mistake, or the disk cannot be written.
        StageFailed: A stage failed otherwise.
    """
    started = time.time()
    with disk(out):
        out.mkdir(parents=True, exist_ok=True)
    planner = Planner(experiment)
    if any(stage.kind in USED_BY and not store.ready(stage.key) for stage in in_order(planner.targets)):
        need_library()  # before minutes are spent on what comes first
    folders = execute(planner.targets, store, executor)
    answers: dict[str, list[Path]] = {}
    for cell in planner.cells:
        answers.setdefault(cell.arm, []).append(folders[cell.stage.key])
    measured: dict[tuple[str, str], list[Path]] = {}
    for part in planner.measured:
        measured.setdefault((part.name, part.title), []).append(folders[part.stage.key])
        if part.stage.kind == "forecast":
            keep_coefficients(folders[part.stage.key], out)
    results = collect(experiment, answers, measured)
    write_json(out / "results.json", results)
    _write_transcripts(out / "transcripts.jsonl", planner.cells, folders)
    write_json(out / "provenance.json", _provenance(experiment, planner.targets, store, started))
    from spillover.reports import write_report

    with disk(out):
        write_report(out)
    return results


def _write_transcripts(path: Path, planned: Sequence[Cell], folders: dict[str, Path]) -> None:
    partial = path.with_name(path.name + ".partial")
    with disk(path), partial.open("w", encoding="utf-8") as handle:
        for cell in planned:
            for record in _transcripts(cell, folders[cell.stage.key]):
                handle.write(json.dumps(record, ensure_ascii=False) + "\n")
        handle.flush()
        partial.replace(path)


def _transcripts(cell: Cell, folder: Path) -> Iterator[dict[str, Any]]:
    with (folder / "answers.jsonl").open(encoding="utf-8") as handle:
        for text in handle:
            line = json.loads(text)
            for sample in line["samples"]:
                yield {
                    "arm": cell.arm,
                    "seed": cell.seed,
                    "model": cell.stage.key,
                    "where": line["group"],
                    "domain": line["domain"],
                    "condition": line["condition"],
                    "question_id": line["question_id"],
                    "system": line["system"],
                    "prompt": line["prompt"],
                    "answer": sample["answer"],
                    "outcome": sample["outcome"],
                    "count": sample["count"],
                }


def _provenance(experiment: Experiment, targets: list[Stage], store: Store, started: float) -> dict[str, Any]:
    """What the results came from: the whole plan, the code's versions, the stages and how long each took."""
    stages = []
    for stage in in_order(targets):
        path = store.folder(stage.key) / "env.json"
        environment = json.loads(path.read_text()) if path.is_file() else {}
        stages.append({"stage": stage.key, "label": stage.label, **environment})
    return {
        "spillover": __version__,
        "versions": versions(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds_this_time": round(time.time() - started, 1),
        "seconds_of_stages": round(sum(stage.get("seconds", 0.0) for stage in stages), 1),
        "config": experiment.model_dump(mode="json"),
        "stages": stages,
    }
