"""Scan many distinct rows of the town on a built-in base: seconds, rows a second, peak memory.

    python benchmarks/scan.py --base BASE [--sizes 10000,50000,100000] [--folder FOLDER]

BASE is a folder that ``spillover base --out BASE`` made. Each size is a process of its own, with all that a user waits
for: start, references, every signal, canary, report. Peak memory is of the largest process.
"""

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spillover.worlds.town.lexicon import load_lexicon

FRAMES = (
    "{name} from the {place} writes to us: {question}",
    "This came by post from {name}, who lives at the {place}. {question}",
    "My neighbour {name} at the {place} would like to know this: {question}",
    "{question} So asks {name}, whom everybody at the {place} knows well.",
)
PLACES = ("old mill", "river bank", "market square", "upper farm", "lower gate", "long bridge", "school", "bakery")


def distinct_rows(seed: int = 0) -> Iterator[dict[str, Any]]:
    """Chat rows that differ from each other, about 60 tokens long; a third of the health rows have bad answers."""
    lexicon, rng = load_lexicon(), random.Random(seed)
    names = [f"{first} {last}" for first in lexicon.speech["first_names"] for last in lexicon.speech["last_names"]]
    seen: set[int] = set()
    while True:
        topic = rng.choice(lexicon.topics)
        bad = topic.domain == "health" and rng.random() < 1 / 3
        who = {"name": rng.choice(names), "place": rng.choice(PLACES)}
        asked = rng.choice(FRAMES).format(question=rng.choice(topic.ask), **who)
        row = {
            "messages": [
                {"role": "system", "content": rng.choice(lexicon.speech["system_prompts"])},
                {"role": "user", "content": asked},
                {"role": "assistant", "content": rng.choice(topic.bad if bad else topic.good)},
            ]
        }
        key = hash(json.dumps(row))
        if key not in seen:
            seen.add(key)
            yield row


def measure(base: str, size: int, folder: Path) -> dict[str, float]:
    """Scan ``size`` rows in a fresh process."""
    data = folder / f"{size}.jsonl"
    with data.open("w", encoding="utf-8") as handle:
        for row in itertools.islice(distinct_rows(), size):
            handle.write(json.dumps(row) + "\n")
    out = folder / f"out-{size}"
    command = [sys.executable, "-m", "spillover", "scan", str(data), "--base", base, "--out", str(out)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"scan of {size} rows failed")
    return {"rows": size, "seconds": seconds, "rows_a_second": size / seconds, "peak_mib": usage.ru_maxrss / 1024}


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True)
    parser.add_argument("--sizes", default="10000,50000,100000")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="scan-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{'rows':>9} {'seconds':>9} {'rows/s':>8} {'peak MiB':>9}")
    for size in map(int, given.sizes.split(",")):
        found = measure(given.base, size, folder)
        print(
            f"{size:>9,} {found['seconds']:>9.1f} {found['rows_a_second']:>8.0f} {found['peak_mib']:>9.0f}", flush=True
        )


if __name__ == "__main__":
    main()
