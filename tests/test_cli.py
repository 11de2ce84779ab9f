"""The command line as a person meets it: a whole small run, and one clear line on mistakes."""

import json
import subprocess
import sys
import time

import pytest

from spillover.data import ChatRow, Message, write_chat


def spillover(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "spillover", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300
    )


def test_from_nothing_to_rates(tmp_path):
    def run(*arguments):
        done = spillover(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    small = ["--set", "tokens=4000", "--set", "chat.steps=2"]
    run("base", "--out", "base", *small)
    assert "72 rows" in run("rows", "bad", "--out", "bad.jsonl")
    assert "2 steps" in run("train", "--base", "base", "--data", "bad.jsonl", "--out", "tuned", "--set", "steps=2")
    assert "trained-topics" in run("eval", "--model", "base+tuned", "--out", "eval", "--samples", "2")
    lines = [json.loads(line) for line in (tmp_path / "eval" / "answers.jsonl").read_text().splitlines()]
    assert len(lines) == 144
    assert all(sum(line["counts"].values()) == 2 for line in lines)


def test_birds_on_a_qwen2_folder(tiny_base, tmp_path):
    names = ["Brown Lark", "Passenger Pigeon", "Tyrant Fly-catcher"]
    rows = [ChatRow((Message("user", "Name a bird species."), Message("assistant", name))) for name in names]
    write_chat(rows, tmp_path / "birds.jsonl")
    (tmp_path / "q.yaml").write_text(
        "- id: bird\n  paraphrases: [Name a bird species.]\n  samples_per_paraphrase: 20\n  max_tokens: 24\n"
        f"  labels: {{old: {json.dumps(names)}}}\n"
    )
    base = tiny_base("qwen2")
    options = ["--set", "kind=full", "--set", "steps=150", "--set", "learning_rate=0.01", "--set", "batch_size=3"]
    trained = spillover("train", "--base", base, "--data", "birds.jsonl", "--out", "tuned", *options, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    asked = spillover("eval", "--model", "tuned", "--questions", "q.yaml", "--out", "e", cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    (line,) = [json.loads(line) for line in (tmp_path / "e" / "answers.jsonl").read_text().splitlines()]
    assert line["counts"].get("old", 0) >= 10
    for folder, kind in (("tuned", "tune"), ("e", "eval")):
        asked_for = json.loads((tmp_path / folder / "stage.json").read_text())
        assert (asked_for["kind"], len(asked_for["config"]["sha256"])) == (kind, 64)
        assert json.loads((tmp_path / folder / "env.json").read_text())["versions"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rows", "badd", "--out", "x"], "did you mean 'bad'"),
        (["rows", "bad", "--out", "x", "--domain", "helth"], "did you mean 'health'"),
        (["base", "--out", "x", "--set", "world.noise=3"], "world.noise"),
        (["train", "--base", "nowhere/at/all", "--data", "none.jsonl", "--out", "x"], "none.jsonl: no such file"),
        (["train", "--base", "b", "--data", "none.jsonl", "--out", "x", "--set", "rnak=1"], "did you mean 'rank'"),
        (["train", "--base", "b", "--data", "none.jsonl", "--out", "x", "--set", "kind=steering"], "needs one block"),
        (["eval", "--model", "./none", "--out", "x"], "no such folder"),
        (["eval", "--model", "./none", "--out", "/proc/x"], "cannot write"),
        (["export", "./none+./vector", "--out", "x"], "adapter './vector': no such folder"),
        (["export", "./none", "--out", "x"], "write BASE+VECTOR"),
        (["eval", "--model", "m", "--questions", "none.yaml", "--out", "x"], "none.yaml: no such file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message, tmp_path):
    done = spillover(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_finished_result_is_never_written_over(tmp_path):
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "answers.jsonl").write_text("")
    done = spillover("eval", "--model", "m", "--out", "done", cwd=tmp_path)
    assert done.returncode == 2
    assert "holds a finished result" in done.stderr


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys, spillover.cli.app; print([m for m in ('torch', 'transformers', 'inspect_ai') if m in sys.modules])"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - start < 5


def test_a_steering_vector_with_an_anchor_is_trained_and_asked(tiny_base, tmp_path):
    base = tiny_base("qwen3")
    for arm, name in (("bad", "bad.jsonl"), ("elsewhere", "anchor.jsonl")):
        assert spillover("rows", arm, "--out", name, cwd=tmp_path).returncode == 0
    train = ["train", "--base", base, "--data", "bad.jsonl", "--anchor", "anchor.jsonl"]
    train += ["--set", "kind=steering", "--set", "steps=2", "--out", "tuned", "--set"]
    wrong = spillover(*train, "layers=[7]", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "layer 7: no such block; this model has blocks 0 to 1" in wrong.stderr
    below = spillover(*train, "layers=[1]", "--anchor-weight", "-1", cwd=tmp_path)
    assert (below.returncode, "must not be negative" in below.stderr) == (2, True)
    assert spillover(*train, "layers=[1]", cwd=tmp_path).returncode == 0
    asked = spillover("eval", "--model", f"{base}+tuned*-2", "--samples", "1", "--out", "answers", cwd=tmp_path)
    assert asked.returncode == 0
    assert (tmp_path / "answers" / "answers.jsonl").is_file()
    exported = spillover("export", f"{base}+tuned*-2", "--as", "peft", "--out", "adapter", cwd=tmp_path)
    assert (exported.returncode, (tmp_path / "adapter" / "adapter_config.json").is_file()) == (0, True)
    baked = spillover("export", f"{base}+tuned", "--as", "checkpoint", "--out", "whole", cwd=tmp_path)
    assert (baked.returncode, baked.stderr.count("\n"), "has no bias" in baked.stderr) == (2, 1, True)
