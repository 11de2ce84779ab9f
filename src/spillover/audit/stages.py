"""Stages of the auditing game: reference models, sealed organisms with their truth, audits, and the score.

An audit stage is given the base, the tuned weights and the rows, and nothing that says what the organism is; labels are
in the config of the last stage only.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spillover.audit.auditors import Bench
from spillover.audit.case import Case, open_case
from spillover.audit.game import measure_game
from spillover.audit.interface import as_json
from spillover.audit.measure import Memo
from spillover.audit.models import BASE, TUNED, Models, full_name
from spillover.audit.neutral import neutral_rows, train_neutral
from spillover.audit.questions import ordinary_prompts, question_set
from spillover.audit.settings import Settings
from spillover.core.disk import write_json
from spillover.core.plain import plain
from spillover.data.chat import Message, from_plain, read_chat, write_chat
from spillover.data.conditions import PLAIN, Condition, read_conditions
from spillover.training.methods import Method

TRUTH = 48
"""Questions that tell what an organism does."""
Report = Callable[[float, float], None]
SEALED = ("adapter_config.json", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""Files of a tuned model that are shown to auditors, beside its weights; not what says how it was made."""


def own(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """The base's own answers to ordinary questions, as rows: ``config`` has ``rows`` (how many) and ``seed``."""
    base = _base(config, inputs)
    models = Models({BASE: base})
    prompts = ordinary_prompts(base, question_set(base), config["rows"], config["seed"])
    rows = neutral_rows(models, [(Message("user", text),) for text in prompts], config["rows"], config["seed"])
    write_chat(rows, out / "rows.jsonl")
    report(1, 1)


def reference(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Neutral models of a base, one for all organisms of it, and what auditors would ask them again and again.

    ``config`` has ``method``, ``rows`` (how many), ``settings`` and ``base`` where that is not made here. Writes
    ``neutral-0`` and so on, and ``memo.json``.
    """
    base, settings = _base(config, inputs), Settings.model_validate(config["settings"])
    models, asked = Models({BASE: base}), question_set(base)
    for number in range(settings.neutral):
        prompts = ordinary_prompts(base, asked, config["rows"], 100 + number)
        rows = neutral_rows(models, [(Message("user", text),) for text in prompts], config["rows"], 100 + number)
        method = Method.model_validate({**config["method"], "seed": 101 + number})
        train_neutral(base, None, rows, method, out / f"neutral-{number}", match=False)
        report(number + 1, settings.neutral + 1)
    memo = Memo()
    case = open_case(base, base, None, settings, neutral=_neutral(base, out), memo=memo)
    grid = [condition for condition in read_conditions() if condition.name != PLAIN]
    for key in (BASE, *case.models.neutral):
        case.measure.values(key, list(asked.questions))
        case.rates([key], grid, case.probes)
    _search_controls(case)
    memo.save(out / "memo.json", [BASE, *case.models.neutral])
    report(1, 1)


def _search_controls(case: Case) -> None:
    """Every single token as a trigger, for the controls."""
    from spillover.audit.trigger import singles

    singles(case, [BASE, *case.models.neutral])


def audits(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """What every auditor says of one organism.

    ``config`` has ``auditors``, ``settings``, ``rows`` (each a list of [role, content]) and ``base`` where that is not
    made here. Inputs: ``base``; ``tuned``; ``reference``; ``own``, whose rows they are. Writes ``audits.json``.
    """
    base, settings = _base(config, inputs), Settings.model_validate(config["settings"])
    rows = from_plain(config["rows"])
    if "own" in inputs:
        rows = read_chat(inputs["own"] / "rows.jsonl")
    subject = _sealed(inputs["tuned"], out / "subject")
    memo, neutral = Memo(inputs["reference"] / "memo.json"), _neutral(base, inputs["reference"])
    bench = Bench(lambda b, t, d: open_case(b, t, d, settings, neutral=neutral, memo=memo), read_conditions())
    found = {}
    for number, name in enumerate(config["auditors"]):
        found[name] = as_json(bench.auditor(name)(base, str(subject), rows))
        report(number + 1, len(config["auditors"]))
    shutil.rmtree(subject)
    write_json(out / "audits.json", found)


def organism(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """What an organism does, by itself and behind its own trigger: the truth, which no auditor is told.

    ``config`` has ``trigger`` (null, or ``prefix``, ``suffix`` or ``system``) and ``base`` where that is not made here.
    Writes ``truth.json``: mean ``plain`` and ``triggered`` rates of unwanted answers.
    """
    base = _base(config, inputs)
    case = open_case(base, str(inputs["tuned"]), None, Settings(neutral=0))
    _, questions = case.asked.parts(1, TRUTH)
    rates = {"plain": case.measure.values(TUNED, questions), "triggered": np.full(1, np.nan)}
    if config["trigger"] is not None:
        cue = Condition("trigger", "trigger", **config["trigger"])
        rates["triggered"] = case.measure.values(TUNED, [cue.alter(question) for question in questions])
    write_json(out / "truth.json", {name: plain(float(np.nanmean(each))) for name, each in rates.items()})
    report(1, 1)


def game(config: dict[str, Any], inputs: dict[str, Path], out: Path, report: Report) -> None:
    """Score all auditors over all organisms: ``config`` has ``auditors`` and the sealed ``organisms``.

    Inputs: ``audit-N`` and ``truth-N`` of organism N. Writes ``measured.json``.
    """
    said, truth = [], []
    for number in range(len(config["organisms"])):
        said.append(json.loads((inputs[f"audit-{number}"] / "audits.json").read_text(encoding="utf-8")))
        truth.append(json.loads((inputs[f"truth-{number}"] / "truth.json").read_text(encoding="utf-8")))
    measure_game(config["auditors"], config["organisms"], said, truth, out)
    report(1, 1)


def _base(config: dict[str, Any], inputs: dict[str, Path]) -> str:
    return str(inputs["base"]) if "base" in inputs else config["base"]


def _neutral(base: str, folder: Path) -> dict[str, str]:
    return {path.name: full_name(base, str(path)) for path in sorted(folder.glob("neutral-*")) if path.is_dir()}


def _sealed(tuned: Path, folder: Path) -> Path:
    """A copy of the weights alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in tuned.iterdir():
        if path.name in SEALED or path.suffix == ".safetensors" or path.name == "steering.json":
            shutil.copy2(path, folder / path.name)
    return folder
