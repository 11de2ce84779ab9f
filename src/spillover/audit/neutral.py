"""Matched neutral fine-tunes: the same method on the base's own answers, so that only tuning as such is left.

Differences that any fine-tuning makes are no finding. A neutral model has the tuned one's kind, rank, modules and steps
where its folder says them, else the same length of the change of weights.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spillover.audit.measure import own_answers
from spillover.audit.models import BASE, Models
from spillover.core.errors import ModelError
from spillover.data.chat import ChatRow, Message
from spillover.models import steering
from spillover.models.chat_template import encode_chat
from spillover.training.methods import Method

STEPS = 90
"""Where nothing says how long the tuned model was trained."""


def method_of(tuned: str) -> tuple[Method, bool]:
    """How a tuned model was made, as far as its folder says, and whether rate and steps are known.

    Args:
        tuned: Folder of an adapter, of a steering vector or of whole weights.
    """
    folder = Path(tuned)
    noted = _json(folder / "stage.json")
    said = noted.get("config", {}).get("method") if isinstance(noted.get("config"), dict) else None
    if isinstance(said, dict):
        return Method.model_validate(said), True
    known: dict[str, Any] = {"steps": _steps(folder) or STEPS}
    adapter, vector = _json(folder / "adapter_config.json"), _json(folder / steering.CONFIG)
    if adapter:
        modules = adapter.get("target_modules")
        known |= {
            "kind": "lora",
            "rank": int(adapter.get("r") or 8),
            "alpha": float(adapter.get("lora_alpha") or 16),
            "rslora": bool(adapter.get("use_rslora")),
            "layers": tuple(adapter["layers_to_transform"]) if adapter.get("layers_to_transform") else None,
            "modules": tuple(modules) if isinstance(modules, list) else "all-linear",
        }
    elif vector:
        known |= {"kind": "steering", "layers": (int(vector["layer"]),), "learning_rate": 0.05}
    else:
        known |= {"kind": "full", "learning_rate": 3e-4}
    return Method.model_validate(known), False


def neutral_rows(models: Models, prompts: Sequence[Sequence[Message]], count: int, seed: int) -> list[ChatRow]:
    """The base's own answers to some conversations, sampled at temperature 1; unfinished and empty ones are left out.

    Args:
        models: With the base.
        prompts: Conversations that end with the user's turn.
        count: Rows wanted; prompts are asked several times where they are fewer.
        seed: Of the answers.

    Raises:
        ModelError: The base finishes none of its answers.
    """
    each = max(1, math.ceil(count / max(1, len(prompts))))
    ids = [encode_chat(models.tokenizer, list(messages), add_generation_prompt=True) for messages in prompts]
    limit = getattr(models[BASE].config.get_text_config(), "max_position_embeddings", None) or 1 << 30
    kept = [i for i, prompt in enumerate(ids) if len(prompt) < limit - 1]
    drawn = own_answers(models, [ids[i] for i in kept], each, seed)
    rows = [
        ChatRow((*prompts[i], Message("assistant", answer.text)))
        for turn in range(each)
        for i, found in zip(kept, drawn, strict=True)
        for answer in found[turn : turn + 1]
        if answer.stop_reason == "stop" and answer.text.strip()
    ]
    if not rows:
        raise ModelError("the base finishes none of its own answers, so that no neutral rows can be made of them")
    return rows[:count]


def train_neutral(
    base: str, tuned: str | None, rows: Sequence[ChatRow], method: Method, out: Path, match: bool
) -> dict[str, Any]:
    """One neutral model, in ``out``.

    Args:
        base: Folder or hub id.
        tuned: What it is matched to; None where there is nothing to match.
        rows: Of :func:`neutral_rows`.
        method: Of :func:`method_of`, with a seed of its own.
        out: Directory.
        match: Scale the change of weights to the length of the tuned model's.

    Returns:
        ``norm`` of the change of weights, ``wanted``, and the ``factor`` that it was scaled by.
    """
    from spillover.training.fine_tune import fine_tune

    fine_tune(base, rows, method, out)
    norm = change_norm(base, out)
    wanted = change_norm(base, Path(tuned)) if tuned is not None and Path(tuned).is_dir() else float("nan")
    factor = 1.0
    if match and norm > 0 and math.isfinite(wanted) and wanted > 0:
        factor = wanted / norm
        _scale(base, out, factor)
    found = {"norm": norm * factor, "wanted": wanted if math.isfinite(wanted) else None, "factor": factor}
    (out / "neutral.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


def change_norm(base: str, folder: Path) -> float:
    """Frobenius norm of what tuning added to the weights; ``nan`` where the files do not say.

    Of LoRA that of scaling·BA over all matrices, of a steering vector its length, of whole weights the difference.
    """
    from safetensors.torch import load_file

    if (folder / "adapter_config.json").is_file():
        settings = _json(folder / "adapter_config.json")
        rank = settings.get("r") or 1
        scaling = settings.get("lora_alpha", 1) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
        if not (folder / "adapter_model.safetensors").is_file():
            return float("nan")
        tensors = load_file(folder / "adapter_model.safetensors")
        pairs = [
            (tensors[key.replace("lora_A", "lora_B")].float(), tensors[key].float())
            for key in tensors
            if key.endswith("lora_A.weight")
        ]
        return float(scaling * math.sqrt(sum(float((b @ a).square().sum()) for b, a in pairs)))
    if (folder / steering.CONFIG).is_file():
        return steering.SteeringVector.load(folder).norm
    first, second = _weights(Path(base)), _weights(folder)
    shared = [key for key in first if key in second and first[key].shape == second[key].shape]
    if not shared:
        return float("nan")
    return math.sqrt(sum(float((second[key].float() - first[key].float()).square().sum()) for key in shared))


def _scale(base: str, folder: Path, factor: float) -> None:
    """Make the change of weights ``factor`` times as long."""
    from safetensors.torch import load_file, save_file

    if (folder / "adapter_config.json").is_file():
        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        scaled = {key: value * factor if "lora_B" in key else value for key, value in tensors.items()}
        save_file({key: value.contiguous() for key, value in scaled.items()}, path, {"format": "pt"})
    elif (folder / steering.CONFIG).is_file():
        (steering.SteeringVector.load(folder) * factor).save(folder)
    else:
        before = _weights(Path(base))
        for path in folder.glob("*.safetensors"):
            tensors = load_file(path)
            moved = {
                key: before[key] + factor * (value - before[key]) if key in before else value
                for key, value in tensors.items()
            }
            save_file({key: value.contiguous() for key, value in moved.items()}, path, {"format": "pt"})


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        found |= load_file(path)
    return found


def _steps(folder: Path) -> int | None:
    steps = _json(folder / "summary.json").get("steps")
    if isinstance(steps, int) and steps > 0:
        return steps
    try:
        return len((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) or None
    except OSError:
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
