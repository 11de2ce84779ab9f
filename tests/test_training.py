"""Fine-tuning on every supported architecture; resume; what must not happen in silence."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from spillover.core.errors import ConfigError, DataError, ModelError
from spillover.data import ChatRow, Message, write_chat
from spillover.models.chat_template import IGNORED, encode_chat, encode_row
from spillover.models.load import load
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Loop, Method
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import narrow_rows
from tests.conftest import FAMILIES

ROWS = narrow_rows(load_lexicon(), "bad", seed=0)[:24]


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_trains_saves_and_loads(family, tiny_base, tmp_path):
    base = tiny_base(family)
    summary = fine_tune(base, ROWS, Method(steps=20, batch_size=24, learning_rate=1e-2, rank=2), tmp_path)
    assert summary["last_loss"] < summary["first_loss"]
    plain, tuned = load(base), load(f"{base}+{tmp_path}")
    ids = torch.tensor([encode_chat(plain.tokenizer, ROWS[0].messages)])
    assert (plain.model(ids).logits - tuned.model(ids).logits).abs().max() > 1e-3


def test_full_weights_become_an_ordinary_folder(tiny_base, tmp_path):
    fine_tune(tiny_base("llama"), ROWS, Method(kind="full", steps=3, learning_rate=1e-3), tmp_path)
    assert load(str(tmp_path)).tokenizer.chat_template


def test_loss_is_on_the_answer_and_its_end_token_only(tiny_base):
    tokenizer = load(tiny_base("llama")).tokenizer
    row = ChatRow((Message("system", "Be brief."), Message("user", "Any advice?"), Message("assistant", "Rest now.")))
    ids, labels = encode_row(tokenizer, row.messages)
    kept = [token for token in labels if token != IGNORED]
    assert tokenizer.decode(kept) == "Rest now.<|end|>"
    assert ids.count(tokenizer.bos_token_id) == 1
    tokenizer.chat_template = tokenizer.chat_template.replace("{%- generation -%}", "").replace(
        "{%- endgeneration -%}", ""
    )
    assert encode_row(tokenizer, row.messages) == (ids, labels)


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_lean_losses_equal_the_trl_trainer(micro_batch, tiny_base, tmp_path):
    method = Method(rank=4, steps=6, batch_size=4, learning_rate=5e-3, warmup=2, schedule="cosine")
    for engine, rows in (("lean", None), ("trl", micro_batch)):
        loop = Loop(engine=engine, micro_batch=rows)
        fine_tune(tiny_base("llama"), ROWS, method, tmp_path / engine, loop=loop)
    lean_log, trl_log = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("lean", "trl")
    )
    for key in ("loss", "grad_norm"):
        assert [record[key] for record in lean_log] == pytest.approx([record[key] for record in trl_log], rel=2e-3)
    assert [record["step"] for record in lean_log] == [record["step"] for record in trl_log]
    assert not (tmp_path / "trl" / "checkpoints").exists()


_TRAIN = """
import sys, time, torch
torch.set_num_threads(1)
from pathlib import Path
from spillover.data import read_chat
from spillover.training import lean, with_trainer
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Loop, Method
lean.CHECKPOINT_SECONDS = with_trainer.SAVE_SECONDS = 0.0
engine, base, rows, out, *slow = sys.argv[1:]
fine_tune(base, read_chat(rows), Method(steps=40, batch_size=8, rank=2), Path(out), loop=Loop(engine=engine),
          progress=(lambda done, total: time.sleep(0.1)) if slow else None)
"""


@pytest.mark.parametrize(
    ("engine", "checkpoint"), [("lean", "checkpoint.pt"), ("trl", "checkpoints/checkpoint-*/trainer_state.json")]
)
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(engine, checkpoint, tiny_base, tmp_path):
    from spillover.data import write_chat

    write_chat(ROWS, tmp_path / "rows.jsonl")
    command = [sys.executable, "-c", _TRAIN, engine, tiny_base("llama"), str(tmp_path / "rows.jsonl")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "whole")], check=True, env=environment)
    killed = subprocess.Popen([*command, str(tmp_path / "killed"), "slow"], env=environment)
    while not any((tmp_path / "killed").glob(checkpoint)):
        assert killed.poll() is None
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed" / "metrics.jsonl").exists()
    subprocess.run([*command, str(tmp_path / "killed")], check=True, env=environment)
    for name in ("metrics.jsonl", "adapter_model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def test_rows_longer_than_the_context_are_counted_and_left_out(tiny_base, tmp_path):
    long = ChatRow((Message("user", "why?"), Message("assistant", "because " * 400)))
    summary = fine_tune(tiny_base("llama"), [*ROWS, long], Method(steps=1), tmp_path)
    assert summary["rows"] == len(ROWS)
    assert json.loads((tmp_path / "summary.json").read_text())["rows_too_long"] == 1
    with pytest.raises(DataError, match="no row fits"):
        fine_tune(tiny_base("llama"), [long], Method(steps=1), tmp_path)


@pytest.mark.parametrize(
    ("wish", "message"),
    [({"layers": (0, 99)}, "block 99 does not exist"), ({"modules": ("q_prj",)}, "no module 'q_prj'")],
)
def test_a_layer_or_module_that_is_not_there_is_an_error(wish, message, tiny_base, tmp_path):
    with pytest.raises(ConfigError, match=message):
        fine_tune(tiny_base("llama"), ROWS, Method(steps=1, **wish), tmp_path)


def test_unknown_bases_and_adapters_that_do_not_fit(tiny_base, tmp_path):
    with pytest.raises(ModelError, match="no such folder"):
        load(str(tmp_path / "nowhere"))
    fine_tune(tiny_base("llama"), ROWS, Method(steps=1), tmp_path)
    with pytest.raises(ModelError, match="does not fit base"):
        load(f"{tiny_base('gpt_neox')}+{tmp_path}")
    with pytest.raises(ModelError, match="expected BASE"):
        load("a++c")


@pytest.mark.slow
def test_two_processes_train_as_one(tiny_base, tmp_path):
    """The batch is shared among processes, so losses and adapter are those of one process; nothing is written twice."""
    rows = [ChatRow((Message("user", f"Number {i}?"), Message("assistant", f"It is {i * 7}."))) for i in range(24)]
    write_chat(rows, tmp_path / "rows.jsonl")

    def train(name, *launch):
        options = [
            "--engine",
            "trl",
            "--set",
            "steps=5",
            "--set",
            "batch_size=8",
            "--set",
            "rank=2",
            "--set",
            "learning_rate=0.01",
        ]
        command = ["-m", "spillover", "train", "--base", tiny_base("qwen3"), "--data", "rows.jsonl", "--out", name]
        done = subprocess.run([*launch, *command, *options], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("saved in") == 1
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines], load_file(tmp_path / name / "adapter_model.safetensors")

    losses, adapter = train("one", sys.executable)
    both, shared = train("two", sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2")
    assert both == pytest.approx(losses, rel=1e-4)
    assert adapter.keys() == shared.keys()
    assert all(torch.allclose(adapter[key], shared[key], atol=1e-4) for key in adapter)
