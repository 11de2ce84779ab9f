"""Fine-tuning on every supported architecture; resume; what must not happen in silence."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch

from spillover.core.errors import ConfigError, DataError, ModelError
from spillover.data import ChatRow, Message
from spillover.models.chat_template import IGNORED, encode_chat, encode_row
from spillover.models.load import load
from spillover.training import lean
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Method
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


def test_lean_losses_equal_the_trl_trainer(tiny_base, tmp_path):
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import SFTConfig, SFTTrainer

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(self.train_dataset)

    method = Method(kind="full", steps=6, batch_size=4, learning_rate=1e-3, warmup=0, schedule="constant")
    loaded = load(tiny_base("llama"))
    encoded = [encode_row(loaded.tokenizer, row.messages) for row in ROWS]
    ordered = [row for batch in lean.batches(encoded, method, 6) for row in batch]
    config = SFTConfig(
        output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=4, learning_rate=1e-3, report_to="none",
        lr_scheduler_type="constant", bf16=False, use_cpu=True, gradient_checkpointing=False, logging_steps=1,
        weight_decay=0.0, save_strategy="no", disable_tqdm=True, max_grad_norm=1.0, optim="adamw_torch_fused",
    )  # fmt: skip
    data = Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels in ordered])
    trainer = InOrder(model=loaded.model, args=config, train_dataset=data, processing_class=loaded.tokenizer)
    trainer.train()
    expected = [record["loss"] for record in trainer.state.log_history if "loss" in record]
    (tmp_path / "lean").mkdir()
    found = lean.train_rows(load(tiny_base("llama")).model, encoded, method, tmp_path / "lean", pad_id=0)
    assert [record["loss"] for record in found] == pytest.approx(expected, abs=2e-4)


_TRAIN = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from spillover.data import read_chat
from spillover.training import lean
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Method
lean.CHECKPOINT_SECONDS = 0.0
base, rows, out, *slow = sys.argv[1:]
import time
fine_tune(base, read_chat(rows), Method(steps=40, batch_size=8, rank=2), Path(out),
          progress=(lambda done, total: time.sleep(0.1)) if slow else None)
"""


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tiny_base, tmp_path):
    from spillover.data import write_chat

    write_chat(ROWS, tmp_path / "rows.jsonl")
    command = [sys.executable, "-c", _TRAIN, tiny_base("llama"), str(tmp_path / "rows.jsonl")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "whole")], check=True, env=environment)
    killed = subprocess.Popen([*command, str(tmp_path / "killed"), "slow"], env=environment)
    while not (tmp_path / "killed" / "checkpoint.pt").is_file():
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
        load("a+b+c")
