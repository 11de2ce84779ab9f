"""The removal test: tuned again without the rows that are held responsible, and without as many drawn at random."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spillover.audit.case import Case
from spillover.audit.models import TUNED, full_name
from spillover.audit.neutral import method_of
from spillover.core.plain import plain
from spillover.training.fine_tune import fine_tune


def removal(
    case: Case, scores: Sequence[float | None], out: Path, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    """Train both and ask all plain questions.

    Args:
        case: With rows.
        scores: Of each row, as :func:`spillover.audit.attribution.rows_part` gives them.
        out: Directory for the two models.
        progress: Called with (done, total).

    Returns:
        ``removed`` rows, ``share`` of them, and the unwanted ``rates``: ``tuned`` as it is, ``again`` (the same rows
        trained here), ``without`` the rows with the highest scores, and without as many ``random`` ones.
    """
    rows = list(case.rows or ())
    known = np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
    count = min(len(rows) - 1, max(1, round(case.settings.removed * len(rows))))
    worst = {int(i) for i in np.argsort(-np.nan_to_num(known), kind="stable")[:count]}
    drawn = {int(i) for i in np.random.default_rng(case.settings.seed).choice(len(rows), count, replace=False)}
    method, _ = method_of(_folder(case))
    rates = {"tuned": _rate(case, TUNED)}
    sets: dict[str, set[int]] = {"again": set(), "without": worst, "random": drawn}
    for number, (name, left_out) in enumerate(sets.items()):
        folder = out / f"removal-{name}"
        if not (folder / "summary.json").is_file():
            fine_tune(case.base, [row for i, row in enumerate(rows) if i not in left_out], method, folder)
        case.models.names[name] = full_name(case.base, str(folder))
        rates[name] = _rate(case, name)
        progress(number + 1, len(sets))
    return {
        "strength": None,
        "removed": sorted(worst),
        "share": plain(count / len(rows)),
        "rates": {name: plain(rate) for name, rate in rates.items()},
        "findings": [],
    }


def _rate(case: Case, key: str) -> float:
    return float(np.nanmean(case.measure.values(key, case.asked.questions)))


def _folder(case: Case) -> str:
    """Where the tuned model's files are."""
    return case.models.names[TUNED].rpartition("+")[2]
