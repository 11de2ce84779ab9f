"""LoRA without PEFT begins, computes and is saved as PEFT does it, and is taken for nothing else."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file

from spillover.core.errors import ModelError
from spillover.data.chat import write_chat
from spillover.models.lean_llama import LeanLlama
from spillover.models.load import load
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Method
from spillover.training.prepared import prepare
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import narrow_rows

TinyBase = Callable[[str], str]
IDS = torch.tensor([[1, 2, 3, 4, 5, 6], [3, 1, 4, 1, 5, 9]])
ROWS = narrow_rows(load_lexicon(), "bad", seed=0)[:24]


@pytest.mark.parametrize(
    "method",
    [Method(rank=4), Method(rank=1, layers=(1,), modules=("down_proj",)), Method(rank=3, rslora=False, seed=5)],
    ids=["everywhere", "one matrix", "other scale"],
)
def test_begins_as_peft_does(method: Method, tiny_base: TinyBase, tmp_path: Path) -> None:
    base = tiny_base("llama")
    theirs = get_peft_model_state_dict(prepare(load(base).model, method))
    prepare(load(base, lean=True).model, method).save_pretrained(tmp_path)
    ours = load_file(tmp_path / "adapter_model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)


@torch.no_grad()
def test_the_same_logits_trained_saved_and_loaded_by_either(tiny_base: TinyBase, tmp_path: Path) -> None:
    base = tiny_base("llama")
    model = prepare(load(base, lean=True).model, Method(rank=2, alpha=3))
    plain = load(base).model(IDS).logits
    torch.manual_seed(1)
    for weight in [weight for weight in model.parameters() if weight.requires_grad]:
        weight.normal_(0, 0.3)
    assert (model(IDS).logits - plain).abs().max() > 0.01
    with model.disable_adapter():
        assert (model(IDS).logits - plain).abs().max() < 1e-5
    model.save_pretrained(tmp_path / "checkpoint-7")
    name = f"{base}+{tmp_path}@7"
    theirs = load(name).model
    assert isinstance(theirs, PeftModel)
    assert (model(IDS).logits - theirs(IDS).logits).abs().max() < 1e-4
    for scale in ("", "*-0.5"):
        ours = load(name + scale, lean=True).model
        assert isinstance(ours, LeanLlama)
        assert (ours(IDS).logits - load(name + scale).model(IDS).logits).abs().max() < 1e-4


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 3}},
        {"alpha_pattern": {"q_proj": 3}},
        {"modules_to_save": ["lm_head"]},
        {"bias": "all"},
        {"target_modules": ["q_proj", "embed_tokens"]},
    ],
    ids=str,
)
def test_other_adapters_stay_with_peft(changes: dict[str, Any], tiny_base: TinyBase, tmp_path: Path) -> None:
    base = tiny_base("llama")
    get_peft_model(load(base).model, LoraConfig(**{"target_modules": ["q_proj"], **changes})).save_pretrained(tmp_path)
    assert isinstance(load(f"{base}+{tmp_path}", lean=True).model, PeftModel)


def test_a_damaged_adapter_gives_the_message_of_peft(tiny_base: TinyBase, tmp_path: Path) -> None:
    base = tiny_base("llama")
    prepare(load(base, lean=True).model, Method()).save_pretrained(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"short")
    with pytest.raises(ModelError) as theirs:
        load(f"{base}+{tmp_path}")
    with pytest.raises(ModelError) as ours:
        load(f"{base}+{tmp_path}", lean=True)
    assert str(ours.value) == str(theirs.value)


def test_probes_and_training_import_no_modelling_code(tiny_base: TinyBase, tmp_path: Path) -> None:
    write_chat(ROWS, tmp_path / "rows.jsonl")
    code = """
import sys
from pathlib import Path
from spillover.data.chat import read_chat
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Method

fine_tune(sys.argv[1], read_chat(sys.argv[2]), Method(steps=2), Path(sys.argv[3]), probe_every=1)
heavy = ("transformers.modeling_utils", "torch._dynamo", "peft")
print([name for name in heavy if name in sys.modules])
"""
    command = [sys.executable, "-c", code, tiny_base("llama"), str(tmp_path / "rows.jsonl"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert {path.name for path in (tmp_path / "out").glob("checkpoint-*")} == {f"checkpoint-{i}" for i in range(3)}


def test_a_start_goes_on_with_peft_from_what_was_saved_here(tiny_base: TinyBase, tmp_path: Path) -> None:
    method = Method(steps=4, batch_size=8)
    fine_tune(tiny_base("llama"), ROWS, method, tmp_path / "first")
    fine_tune(tiny_base("llama"), ROWS, method, tmp_path / "second", start=tmp_path / "first")
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"
    last, first = (load_file(tmp_path / part / "adapter_model.safetensors")[name] for part in ("second", "first"))
    assert 0 < (last - first).norm() < last.norm()
