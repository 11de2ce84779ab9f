"""Two references of a base: fine-tuned a little on the unwanted, and on the wanted, answers of a probe.

After arXiv 2508.06249, which ranks rows by the difference of their losses under a misaligned and an aligned model.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from spillover.core.config import digest
from spillover.core.disk import write_json
from spillover.core.errors import StorageError
from spillover.models.names import organism_name
from spillover.scan.probe import UNWANTED, WANTED, Probe, rows_of
from spillover.training.methods import Method

MISALIGNED, ALIGNED = "misaligned", "aligned"
METHOD = Method(kind="lora", rank=8, alpha=16, learning_rate=1e-3, steps=60)
_SIDES = {MISALIGNED: UNWANTED, ALIGNED: WANTED}


def make_references(
    base: str, probe: Probe, out: Path, progress: Callable[[float, float], None] = lambda done, total: None
) -> None:
    """Fine-tune both in ``out/misaligned`` and ``out/aligned``; what is there already is not made again.

    Raises:
        ModelError: The base cannot be loaded or trained.
        StorageError: ``out`` holds references of another base or probe.
    """
    from spillover.training.fine_tune import fine_tune

    said = [asdict(question) for question in probe.fitting]
    noted = {"base": base, "probe": digest(said), "method": METHOD.model_dump(mode="json")}
    path = out / "references.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != noted:
        raise StorageError(f"{out}: references of another base or probe; choose another --out or remove it")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, noted)
    for number, (name, label) in enumerate(_SIDES.items()):
        if not (out / name / "summary.json").is_file():
            rows = rows_of(probe.fitting, label)

            def told(done: float, total: float, start: int = number) -> None:
                progress(start + done / total, len(_SIDES))

            fine_tune(base, rows, METHOD, out / name, progress=told)
    progress(len(_SIDES), len(_SIDES))


def reference_names(base: str, folder: Path) -> tuple[str, str]:
    """Model names of the misaligned and the aligned reference."""
    return organism_name(base, folder / MISALIGNED), organism_name(base, folder / ALIGNED)
