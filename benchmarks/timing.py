"""Time whole commands against each other, start-up included, in alternation; report ratios of medians."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compare(title: str, commands: dict[str, list[str]], repeats: int = 3) -> dict[str, float]:
    """Run each command ``repeats`` times, taking turns; the first one is ours.

    Returns:
        Median seconds of the other commands over ours, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            started = time.perf_counter()
            environment = {**os.environ, "OMP_NUM_THREADS": str(CORES), "TOKENIZERS_PARALLELISM": "false"}
            done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ours = next(iter(commands))
    print(f"{title} ({CORES} cores, medians of {repeats})")
    for name, value in medians.items():
        ratio = "" if name == ours else f"   {value / medians[ours]:.2f} x ours"
        print(f"  {name:34s} {value:7.1f} s{ratio}", flush=True)
    return {name: value / medians[ours] for name, value in medians.items() if name != ours}


def save(name: str, ratios: dict[str, Any], folder: Path) -> None:
    """Write the ratios beside the others of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(ratios, indent=1) + "\n")
