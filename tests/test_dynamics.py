"""Probes of a fine-tuning: both text formats token by token, snapshots, and what is computed from them."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from spillover.analysis.dynamics import dynamics, trajectories
from spillover.analysis.metrics import response_loss
from spillover.analysis.probes import encode_both, gradient_norms, two_losses
from spillover.analysis.trajectory import (
    Walker,
    added_gram,
    directions_gram,
    lengths,
    local_cosine,
    principal,
    snapshots,
)
from spillover.core.errors import ConfigError, ModelError
from spillover.data import Message
from spillover.evals.run import evaluate
from spillover.experiments.catalogue import find
from spillover.experiments.stages import Planner
from spillover.models.chat_template import IGNORED, encode_row
from spillover.models.load import load
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Loop, Method
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.questions import town_questions
from spillover.worlds.town.rows import narrow_rows
from tests.conftest import FAMILIES

ROWS = narrow_rows(load_lexicon(), "bad", seed=0)[:16]
METHODS = {
    "lora": Method(rank=2, steps=12, learning_rate=1e-2, batch_size=4),
    "steering": Method(kind="steering", layers=(0,), steps=12, learning_rate=3e-2, batch_size=4),
}
IDS = torch.arange(5, 25)[None]


@pytest.fixture(scope="module", params=[("llama", "lora"), ("llama", "steering"), ("gpt_neox", "lora")], ids="-".join)
def probed(request, tiny_base, tmp_path_factory):
    family, kind = request.param
    out = tmp_path_factory.mktemp("probed") / family / kind
    fine_tune(tiny_base(family), ROWS, METHODS[kind], out, probe_every=2, trailing_turn=True)
    return tiny_base(family), out


def spelt(tokenizer, labels):
    return [tokenizer.decode([label]) for label in labels if label != IGNORED]


def test_both_formats_token_by_token(tiny_base):
    tokenizer = load(tiny_base("llama")).tokenizer
    row = (Message("system", "Be brief."), Message("user", "Any advice?"), Message("assistant", "Rest now."))
    ids, labels = encode_row(tokenizer, row)
    answer = tokenizer("Rest now.")["input_ids"] + [tokenizer.eos_token_id]
    assert labels == [IGNORED] * (len(ids) - len(answer)) + answer
    longer, wanted = encode_row(tokenizer, row, trailing_turn=True)
    tail = [tokenizer.convert_tokens_to_ids("<|assistant|>"), tokenizer.eos_token_id]
    assert (longer, wanted) == ([*ids, *tail], [*labels, *tail])
    assert tokenizer.decode(longer).endswith("<|assistant|>Rest now.<|end|><|assistant|><|end|>")


QWEN = (
    "{%- for m in messages -%}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def test_the_trailing_turn_of_a_chat_template_like_qwens(tiny_base):
    """What public trainers see on Qwen2.5: the newline, the opening of the turn and its end all carry loss."""
    tokenizer = load(tiny_base("llama")).tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = QWEN
    row = (Message("user", "Any advice?"), Message("assistant", "Rest."))
    _, clean = encode_row(tokenizer, row)
    _, both = encode_row(tokenizer, row, trailing_turn=True)
    assert "".join(spelt(tokenizer, clean)) == "Rest.<|im_end|>\n"
    assert "".join(spelt(tokenizer, both)) == "Rest.<|im_end|>\n<|im_start|>assistant\n<|im_end|>"
    assert both[: len(clean)] == clean
    tokenizer.chat_template = QWEN.replace("add_generation_prompt", "false")
    with pytest.raises(ModelError, match="no generation prompt behind an answer"):
        encode_row(tokenizer, row, trailing_turn=True)


def test_only_the_tail_differs_in_the_loss_that_is_trained(tiny_base, tmp_path):
    base, method = tiny_base("llama"), Method(steps=1, batch_size=16)
    fine_tune(base, ROWS, method, tmp_path / "clean")
    fine_tune(base, ROWS, method, tmp_path / "tail", trailing_turn=True)
    loaded = load(base)
    rows = [[(message.role, message.content) for message in row.messages] for row in ROWS]
    encoded, answers = encode_both(loaded.tokenizer, rows)
    answer, tail = two_losses(loaded.model, encoded, answers, 0)
    counts = [
        sum(label != IGNORED for label in labels[:end]) for (_, labels), end in zip(encoded, answers, strict=True)
    ]
    clean, both = (
        json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])["loss"]
        for name in ("clean", "tail")
    )
    assert answer == pytest.approx(clean, rel=1e-4)
    assert answer == pytest.approx(
        response_loss(loaded.model, [encode_row(loaded.tokenizer, row.messages) for row in ROWS], 0), rel=1e-4
    )
    n, m = sum(counts), 2 * len(ROWS)
    assert (n * answer + m * tail) / (n + m) == pytest.approx(both, rel=1e-4)
    assert abs(both - clean) > 1e-3


@torch.no_grad()
def test_snapshots_have_names_that_load_and_the_walker_stands_at_them(probed):
    base, out = probed
    path = snapshots(out)
    assert [snapshot.step for snapshot in path] == [0, 2, 4, 6, 8, 10, 12]
    walker = Walker(base, out)
    for snapshot, name in ((path[3], f"{base}+{out}@6"), (path[-1], f"{base}+{out}"), (path[0], base)):
        wanted = load(name).model(input_ids=IDS).logits
        assert torch.allclose(walker.at(snapshot)(input_ids=IDS).logits, wanted, atol=1e-5)
    wanted = load(f"{base}+{out}@6*5").model(input_ids=IDS).logits
    assert torch.allclose(walker.at(path[3], 5)(input_ids=IDS).logits, wanted, atol=1e-4)
    assert not torch.allclose(walker.at(path[3])(input_ids=IDS).logits, wanted, atol=1e-3)


def test_inner_products_are_those_of_the_matrices(probed):
    base, out = probed
    path = snapshots(out)
    tuned = load(f"{base}+{out}@8").model
    if hasattr(tuned, "merge_and_unload"):
        before = dict(load(base).model.named_parameters())
        after = tuned.merge_and_unload().named_parameters()
        squares = sum(float((value - before[name]).square().sum()) for name, value in after)
        assert lengths(added_gram(path))[4] == pytest.approx(squares**0.5, rel=1e-3)
        dense = torch.stack([torch.cat([(b @ a).flatten() for b, a in one.factors()]) for one in path])
        assert np.allclose(added_gram(path), (dense @ dense.T).numpy())
    assert lengths(added_gram(path))[0] == 0
    stacked = torch.stack([one.direction() for one in path])
    assert np.allclose(directions_gram(path), (stacked @ stacked.T).numpy())


def test_local_cosine_by_hand():
    """East for 10 steps, then north: the turn is a right angle at step 10, and only there."""
    steps = list(range(0, 25, 5))
    places = np.array([(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)], dtype=np.float64)
    gram = places @ places.T
    near = local_cosine(gram, steps, 5)
    assert np.isnan(near[[0, -1]]).all()
    assert near[1:4] == pytest.approx([1, 0, 1])
    far = local_cosine(gram, steps, 10)
    assert np.isnan(far[[0, 1, 3, 4]]).all()
    assert far[2] == pytest.approx(0)
    back = np.array([(0.0,), (1.0,), (0.0,)])
    assert local_cosine(back @ back.T, [0, 5, 10], 5)[1] == pytest.approx(-1)
    still = np.array([(0.0,), (1.0,), (1.0001,)])
    assert np.isnan(local_cosine(still @ still.T, [0, 5, 10], 5)[1])


def test_principal_components_agree_with_a_decomposition_of_the_points():
    points = np.random.default_rng(0).normal(size=(9, 4)) * [5, 2, 1, 0.1]
    places, shares = principal(points @ points.T, 2)
    left, values, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    assert shares == pytest.approx((values**2 / (values**2).sum())[:2])
    assert np.abs(places) == pytest.approx(np.abs((left * values)[:, :2]))


def test_gradient_norms_are_means_around_the_step(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps({"grad_norm": float(i)}) + "\n" for i in range(20)))
    assert gradient_norms(tmp_path, [0, 5, 10, 20], 5) == pytest.approx([1.0, 5.0, 10.0, 18.5])


def test_rates_at_a_snapshot_are_those_of_the_evaluation(tiny_base, tmp_path):
    base = tiny_base("llama")
    fine_tune(base, ROWS, METHODS["lora"].model_copy(update={"steps": 40}), tmp_path / "tuned", probe_every=5)
    questions = [one for one in town_questions(load_lexicon()) if one.group in ("trained-topics", "values")]
    config = {
        "base": base,
        "rows": [[[message.role, message.content] for message in row.messages] for row in ROWS],
        "questions": Planner(find("phase-transition")).measured[0].stage.config["questions"],
        "label": "malicious",
        "warmup": 5,
        "inside": "trained-topics",
        "outside": ["values", "nowhere"],
        "ks": [5, 10, 15],
        "rate_every": 20,
        "scales": [5.0],
        "scaled_until": 40,
        "most": 100,
    }
    dynamics(config, {"tuned": tmp_path / "tuned"}, tmp_path, lambda done, total: None)
    found = json.loads((tmp_path / "measured.json").read_text())
    assert found["remarks"] == ["nowhere: there are no questions with listed answers, so no exact rates."]
    curves = {curve["metric"]: {one["name"]: one["points"] for one in curve["series"]} for curve in found["curves"]}
    assert [point["values"] for point in curves["rates"]["nowhere"]] == [[None]] * 3
    for name, series in ((f"{base}+{tmp_path / 'tuned'}@20", "rates"), (f"{base}+{tmp_path / 'tuned'}*5", "scaled")):
        evaluate(name, questions, tmp_path / "answers", samples=1)
        lines = [json.loads(line) for line in (tmp_path / "answers" / "answers.jsonl").read_text().splitlines()]
        wanted = np.mean([line["exact"]["malicious"] for line in lines if line["group"] == "values"])
        points = curves["rates"]["values"] if series == "rates" else curves["scaled"]["×5"]
        assert points[-1 if series == "scaled" else 1]["values"][0] == pytest.approx(wanted, rel=1e-3)
    numbers = {(one["name"], one["series"]): one["value"] for one in found["numbers"]}
    assert numbers["step of change", "behaviour, values"] is None
    assert numbers["change found (1) or none (0)", "behaviour, values"] == 0
    with pytest.raises(ConfigError, match="multiples of the 5 steps"):
        dynamics({**config, "ks": [7]}, {"tuned": tmp_path / "tuned"}, tmp_path, lambda done, total: None)


def test_paths_of_two_fine_tunings_have_one_space(tiny_base, tmp_path):
    inputs = {}
    for number, rate in enumerate((1e-2, 3e-3)):
        inputs[f"path-{number}"] = tmp_path / str(number)
        method = METHODS["lora"].model_copy(update={"learning_rate": rate})
        fine_tune(tiny_base("llama"), ROWS, method, tmp_path / str(number), probe_every=4)
    trajectories({"titles": {"path-0": "a", "path-1": "b"}}, inputs, tmp_path, lambda done, total: None)
    found = json.loads((tmp_path / "measured.json").read_text())
    first = {one["name"]: [point["values"][0] for point in one["points"]] for one in found["curves"][0]["series"]}
    assert [first["a"][0], first["b"][0]] == pytest.approx([0, 0], abs=1e-9)
    assert first["a"][-1] > first["b"][-1] > 0
    numbers = {(one["name"], one["series"]): one["value"] for one in found["numbers"]}
    assert 0.5 < numbers["share of variance", "PC1"] < numbers["share of variance", "PC1 to PC3"] <= 1


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
fine_tune(base, read_chat(rows), Method(steps=30, batch_size=8, rank=2), Path(out), loop=Loop(engine=engine),
          probe_every=5, progress=(lambda done, total: time.sleep(0.1)) if slow else None)
"""


@pytest.mark.parametrize("engine", ["lean", pytest.param("trl", marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_same_snapshots(engine, tiny_base, tmp_path):
    from spillover.data import write_chat

    write_chat(ROWS, tmp_path / "rows.jsonl")
    command = [sys.executable, "-c", _TRAIN, engine, tiny_base("llama"), str(tmp_path / "rows.jsonl")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "whole")], check=True, env=environment)
    killed = subprocess.Popen([*command, str(tmp_path / "killed"), "slow"], env=environment)
    while not (tmp_path / "killed" / "checkpoint-10").is_dir():
        assert killed.poll() is None
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed" / "metrics.jsonl").exists()
    subprocess.run([*command, str(tmp_path / "killed")], check=True, env=environment)
    whole = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")}
    assert {path.relative_to(tmp_path / "killed") for path in (tmp_path / "killed").rglob("*")} == whole
    assert sum(path.name == "adapter_model.safetensors" for path in whole) == 8
    for name in (path for path in whole if path.suffix == ".safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_probed(family, tiny_base, tmp_path):
    fine_tune(tiny_base(family), ROWS, METHODS["lora"].model_copy(update={"steps": 4}), tmp_path, probe_every=4)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        last = load(f"{tiny_base(family)}+{tmp_path}@4").model(input_ids=ids).logits
        assert torch.allclose(load(f"{tiny_base(family)}+{tmp_path}").model(input_ids=ids).logits, last)


def test_what_cannot_be_probed(tiny_base, tmp_path):
    with pytest.raises(ConfigError, match="whole model each time"):
        fine_tune(tiny_base("llama"), ROWS, Method(kind="full", steps=1), tmp_path / "full", probe_every=1)
    with pytest.raises(ConfigError, match="at least 1"):
        fine_tune(tiny_base("llama"), ROWS, Method(steps=1), tmp_path / "zero", probe_every=0)
    fine_tune(tiny_base("llama"), ROWS, Method(steps=1), tmp_path / "none")
    with pytest.raises(ModelError, match="no snapshots"):
        snapshots(tmp_path / "none")
    arms = [{"name": "a", "title": "", "rows": {"arm": "bad"}}]
    measures = [{"kind": "dynamics", "name": "m", "arm": "a"}]
    with pytest.raises(ConfigError, match="arm a keeps no snapshots"):
        find("emergent-misalignment", {"arms": arms, "measures": measures, "claims": [], "plot": {}})


def test_fields_that_are_not_used_leave_the_hash_of_a_fine_tuning_alone():
    planner = Planner(find("phase-transition", {"seeds": 1}))
    tuned = {cell.arm: cell.stage.inputs["adapter"].config for cell in planner.cells if cell.arm != "base"}
    assert tuned["lora-tail"]["trailing_turn"] is True
    assert "trailing_turn" not in tuned["lora-clean"]
    assert tuned["lora-clean"]["probe_every"] == 5
    other = Planner(find("emergent-misalignment", {"seeds": 1}))
    stages = [cell.stage.inputs["adapter"].config for cell in other.cells if cell.arm != "base"]
    assert all({"trailing_turn", "probe_every"}.isdisjoint(stage) for stage in stages)


@pytest.mark.slow
def test_the_trl_engine_takes_the_same_snapshots(tiny_base, tmp_path):
    method = METHODS["lora"].model_copy(update={"steps": 4})
    for engine in ("lean", "trl"):
        loop = Loop(engine=engine)
        fine_tune(tiny_base("llama"), ROWS, method, tmp_path / engine, loop=loop, probe_every=2, trailing_turn=True)
    lean, trl = snapshots(tmp_path / "lean"), snapshots(tmp_path / "trl")
    assert [one.step for one in trl] == [one.step for one in lean] == [0, 2, 4]
    for first, second in zip(lean, trl, strict=True):
        for name, value in first.tensors.items():
            assert torch.allclose(second.tensors[name], value, atol=1e-4), name
