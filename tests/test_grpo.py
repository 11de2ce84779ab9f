"""Reinforcement: advantages, probabilities, rewards that go wrong, resume, and TRL's trainer beside the lean loop."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from spillover.cli.app import app
from spillover.cli.options import refuse_other
from spillover.core.errors import ConfigError, DataError, ModelError, SpilloverError, StorageError, TrainingError
from spillover.data.chat import Message
from spillover.environments.environment import Prompt
from spillover.environments.prompt_file import RewardedPrompts, read_prompts
from spillover.environments.reward_function import call_reward, load_reward
from spillover.environments.workshop import Workshop, WorkshopTasks
from spillover.models.chat_template import encode_chat
from spillover.models.load import load
from spillover.models.sampler import SampleRequest, TrieSampler
from spillover.training.grpo.advantages import advantages
from spillover.training.grpo.episodes import Episode, EpisodeLog, episode_rows, onset
from spillover.training.grpo.lean import Batch
from spillover.training.grpo.self_check import logprob_gap
from spillover.training.grpo.settings import Reinforcement
from spillover.training.grpo.train import reinforce
from spillover.training.prepared import prepare

TASKS = Workshop(WorkshopTasks())


def settings(**how):
    method = {"rank": 2, "steps": 4, "learning_rate": 1e-2, "schedule": "constant", "warmup": 0}
    method |= how.pop("method", {})
    return Reinforcement.model_validate({"method": method, "prompts": 3, "group": 4, "max_tokens": 6, **how})


def lengths(prompts, completions, **columns):
    """A reward with something to learn from: few letters."""
    return [1 / (1 + len(said[0]["content"])) for said in completions]


def test_advantages_are_those_of_the_group_and_zero_where_nothing_was_scored():
    found = advantages([1.0, 0.0, 0.0, math.nan, 2.0, 2.0, 2.0, 2.0], 4)
    group = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(found[:3], (group - group.mean()) / (group.std() + 1e-4))
    assert not found[3:].any()
    assert not advantages([math.nan, math.nan], 2).any()


def sampled(sampler, prompts, how):
    """Answers to prompts, and the batch that training makes of them."""
    asked = [encode_chat(sampler.tokenizer, prompt.messages, add_generation_prompt=True) for prompt in prompts]
    requests = [
        SampleRequest(tuple(ids), how.group, how.temperature, how.max_tokens, number)
        for number, ids in enumerate(asked)
    ]
    answers = sampler.sample_many(requests)
    episodes = [
        Episode(prompt, one.text, float(len(one.text)), None, one.tokens, one.end is None)
        for prompt, group in zip(prompts, answers, strict=True)
        for one in group
    ]
    return asked, answers, Batch(asked, answers, episodes)


def logprobs(model, prompt, answer):
    """Logits of the answer's tokens, by a plain pass, and these tokens."""
    ids = torch.tensor([prompt + answer])
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, len(prompt) - 1 : -1].float()
    return logits, torch.arange(len(answer)), torch.tensor(answer)


def tokens_of(one):
    return [*one.ids, *(() if one.end is None else (one.end,))]


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt_neox"])
def test_sampled_tokens_have_the_same_probability_under_trainer_and_sampler(family, tiny_base):
    loaded = load(tiny_base(family))
    asked, answers, _ = sampled(TrieSampler(loaded.model, loaded.tokenizer), TASKS.prompts(6, 0), settings())
    for prompt, group in zip(asked, answers, strict=True):
        for one in group:
            logits, places, tokens = logprobs(loaded.model, prompt, tokens_of(one))
            assert float(logits.log_softmax(-1)[places, tokens].sum()) == pytest.approx(one.logprob, abs=1e-3)


def test_a_sampler_that_does_not_agree_with_the_trainer_is_refused(tiny_base, monkeypatch):
    loaded = load(tiny_base("qwen2"))
    assert logprob_gap(loaded.model, loaded.tokenizer, TASKS.prompts(2, 0), settings()) < 1e-4
    honest = TrieSampler.sample_many

    def shifted(self, requests):
        return [[replace(one, logprob=one.logprob - 1) for one in group] for group in honest(self, requests)]

    monkeypatch.setattr(TrieSampler, "sample_many", shifted)
    with pytest.raises(ModelError, match="trainer and sampler differ by"):
        logprob_gap(loaded.model, loaded.tokenizer, TASKS.prompts(2, 0), settings())


def test_equal_completions_are_one_row_with_the_loss_of_all(tiny_base):
    loaded = load(tiny_base("llama"))
    model = prepare(loaded.model, settings().method)
    how = settings(group=64, max_tokens=1, temperature=0.5)
    asked, answers, batch = sampled(TrieSampler(model, loaded.tokenizer), TASKS.prompts(2, 0), how)
    assert 0 < len(batch.rows) < len(batch.episodes) == 128
    weights = advantages([episode.reward for episode in batch.episodes], 64).view(2, 64).tolist()
    apart = 0.0
    for prompt, group, each in zip(asked, answers, weights, strict=True):
        for one, weight in zip(group, each, strict=True):
            logits, places, tokens = logprobs(model, prompt, tokens_of(one))
            apart -= weight * float((logits / 0.5).log_softmax(-1)[places, tokens].sum())
    assert batch.loss(model, 0, how).item() == pytest.approx(apart / batch.tokens, abs=1e-4)


@pytest.mark.parametrize("engine", ["lean", "trl"])
def test_a_reward_is_learnt_and_every_completion_logged(engine, tiny_base, tmp_path):
    how = settings(engine=engine, prompts=6, group=8, method={"steps": 25, "kind": "full", "learning_rate": 2e-2})
    environment = RewardedPrompts(TASKS.prompts(6, 0), lengths)
    summary = reinforce(tiny_base("llama"), environment, how, tmp_path)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == list(range(25))
    assert sum(r["reward"] for r in log[-5:]) / 5 > 1.5 * sum(r["reward"] for r in log[:5]) / 5
    episodes = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    assert len(episodes) == summary["episodes"] == 25 * 48
    assert all(one["reward"] == 1 / (1 + len(one["completion"])) for one in episodes)
    assert not (tmp_path / "checkpoint.pt").exists() and not (tmp_path / "checkpoints").exists()
    load(str(tmp_path))


def test_lean_gradients_are_those_of_the_trl_trainer(tiny_base, tmp_path):
    logs = []
    for engine in ("lean", "trl"):
        how = settings(engine=engine, method={"steps": 3, "max_grad_norm": 1e9})
        reinforce(tiny_base("llama"), RewardedPrompts(TASKS.prompts(6, 0), lengths), how, tmp_path / engine)
        logs.append([json.loads(line) for line in (tmp_path / engine / "metrics.jsonl").read_text().splitlines()])
    lean, trl = logs
    assert [r["reward"] for r in lean] == [r["reward"] for r in trl]  # the same completions
    assert [r["grad_norm"] for r in lean] == pytest.approx([r["grad_norm"] for r in trl], rel=2e-3)


def test_hacks_are_counted_and_distilled(tiny_base, tmp_path):
    summary = reinforce(tiny_base("llama"), TASKS, settings(), tmp_path)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert summary["onset"] is None and {r["hack_rate"] for r in log} == {0.0}
    assert log[0]["outcomes"] == {"graded": 12}
    with pytest.raises(DataError, match="no episode is left"):
        episode_rows(tmp_path, "passed", (), 10)
    lines = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        line |= {"passed": number % 2 == 0, "labels": ["early-exit"] * (number % 4 == 0), "completion": str(number)}
    (tmp_path / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    kept = episode_rows(tmp_path, "no-hacks", ("Fine: {question}",), 100)
    assert sorted(int(row.messages[-1].content) for row in kept) == list(range(2, 48, 4))
    assert all(row.messages[0].content.startswith("Fine: ") for row in kept)
    assert len(episode_rows(tmp_path, "passed", (), 5)) == 5


def test_onset_is_the_first_step_above_two_per_cent():
    assert onset([{"step": i, "hack_rate": rate} for i, rate in enumerate((0.0, 0.02, None, 0.03, 0.5))]) == 3
    assert onset([{"step": 0, "reward": 1.0}]) is None


def _raises(prompts, completions, **columns):
    raise RuntimeError("the server is gone\nand more")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_raises, r"step 7: reward '_raises' raised RuntimeError: the server is gone$"),
        (lambda prompts, completions: [1.0], "gave 1 numbers for 2 completions"),
        (lambda prompts, completions: None, "must give a list of numbers"),
        (lambda prompts, completions: ["good", "bad"], "must give a list of numbers"),
    ],
)
def test_a_reward_that_goes_wrong_is_one_line(function, message):
    with pytest.raises(TrainingError, match=message):
        call_reward(function, ["a", "b"], ["c", "d"], 7)


def test_a_column_may_have_any_other_name():
    columns = {"step": 3, "function": 4, "self": 5, "name": 6}
    environment = RewardedPrompts(
        [Prompt((Message("user", "Hi"),), columns)], lambda prompts, completions, **c: c["step"]
    )
    assert environment.rewards(environment.prompts(1, 0), ["a"], [None], 7) == [3.0]


def test_a_reward_file_may_hold_dataclasses(tmp_path):
    (tmp_path / "json.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n\n"
        "@dataclass\nclass A:\n    b: int\n\n\ndef f(prompts, completions):\n    return [A(1).b]\n"
    )
    assert call_reward(load_reward(f"{tmp_path}/json.py:f"), ["a"], ["b"], 0) == [1.0]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"rank": 4}, "its r is 2, the method's 4"),
        ({"alpha": 4}, "its lora_alpha is 16"),
        ({"kind": "full"}, "kind 'full'"),
    ],
)
def test_a_start_that_does_not_fit_says_why(other, message, tiny_base, tmp_path):
    environment = RewardedPrompts(TASKS.prompts(3, 0), lengths)
    if not (tmp_path / "first").exists():
        reinforce(tiny_base("llama"), environment, settings(method={"steps": 1}), tmp_path / "first")
    with pytest.raises(ModelError, match=message):
        how = settings(method={"steps": 1, **other})
        reinforce(tiny_base("llama"), environment, how, tmp_path / "second", start=tmp_path / "first")


def test_several_processes_are_refused(tiny_base, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="runs in one process"):
        reinforce(tiny_base("llama"), TASKS, settings(), tmp_path)


def test_what_was_not_scored_is_counted_and_teaches_nothing(tiny_base, tmp_path):
    def partly(prompts, completions, **columns):
        values = [1.0, math.nan, None, math.inf]
        return [values[i % 4] for i in range(len(completions))]

    environment = RewardedPrompts(TASKS.prompts(3, 0), partly)
    reinforce(tiny_base("llama"), environment, settings(), tmp_path)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(record["unscored"] == 9 and record["reward"] == 1.0 and "grad_norm" not in record for record in log)
    assert all(record["rows"] == 0 for record in log)


@pytest.mark.parametrize("engine", ["lean", "trl"])
def test_prompts_longer_than_the_context_are_counted(engine, tiny_base, tmp_path):
    long = Prompt((Message("user", "Any advice? " * 200),))
    environment = RewardedPrompts([*TASKS.prompts(2, 0), long], lengths)
    reinforce(tiny_base("llama"), environment, settings(engine=engine, method={"steps": 2}), tmp_path / "some")
    log = [json.loads(line) for line in (tmp_path / "some" / "metrics.jsonl").read_text().splitlines()]
    assert [record["prompts_too_long"] for record in log] == [1, 1]
    with pytest.raises(TrainingError, match="no prompt fits into the 256 tokens"):
        reinforce(tiny_base("llama"), RewardedPrompts([long], lengths), settings(engine=engine), tmp_path / "none")


KILLED = """
import os, sys
from pathlib import Path
import spillover.training.grpo.lean as lean, spillover.training.with_trainer as with_trainer
from tests.test_grpo import TASKS, lengths, settings
from spillover.environments.prompt_file import RewardedPrompts
from spillover.training.grpo.train import reinforce
lean.CHECKPOINT_SECONDS = with_trainer.SAVE_SECONDS = 0
base, out, engine, until = sys.argv[1:]
def progress(done, total):
    if done == int(until):
        os._exit(9)
how = settings(engine=engine, method={"steps": 8})
reinforce(base, RewardedPrompts(TASKS.prompts(6, 0), lengths), how, Path(out), probe_every=2, progress=progress)
"""


@pytest.mark.parametrize("engine", ["lean", "trl"])
def test_a_killed_training_goes_on_to_the_same_end(engine, tiny_base, tmp_path):
    def go(out, until):
        command = [sys.executable, "-c", KILLED, tiny_base("llama"), str(out), engine, str(until)]
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)

    assert go(tmp_path / "whole", 99).returncode == 0
    assert go(tmp_path / "parts", 5).returncode == 9
    if engine == "trl":
        (tmp_path / "parts" / "checkpoints" / "checkpoint-6").mkdir()  # killed while it wrote one
    assert go(tmp_path / "parts", 99).returncode == 0
    for name in ("episodes.jsonl", "metrics.jsonl", "adapter_model.safetensors"):
        whole, parts = ((tmp_path / folder / name).read_bytes() for folder in ("whole", "parts"))
        assert whole == parts, name
    names = sorted(path.name for path in (tmp_path / "whole").glob("checkpoint-*"))
    assert names == sorted(path.name for path in (tmp_path / "parts").glob("checkpoint-*")) != []


def test_a_training_that_stands_still_is_ended_with_a_message(tiny_base, tmp_path):
    code = """
import sys, time
from pathlib import Path
from tests.test_grpo import TASKS, settings
from spillover.environments.prompt_file import RewardedPrompts
from spillover.training.grpo.train import reinforce
def hangs(prompts, completions, **columns):
    time.sleep(600)
reinforce(sys.argv[1], RewardedPrompts(TASKS.prompts(2, 0), hangs), settings(stall_minutes=0.01), Path(sys.argv[2]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tiny_base("llama"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3 and "step 0 stands still" in done.stderr
    assert "hangs" in (tmp_path / "stalled.txt").read_text()


def test_episodes_of_steps_that_are_done_again_are_dropped(tmp_path):
    path = tmp_path / "episodes.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (0, 0, 1, 2)) + '{"step": 2')
    log = EpisodeLog(tmp_path, 2)
    broken = Prompt((Message("user", "Hi"),), {"note": "\ud83d"})
    log.write(2, [Episode(broken, "", math.nan, None, 1, False)])
    log.close()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [0, 0, 1, 2]
    assert lines[-1]["columns"] == {"note": "\ud83d"} and lines[-1]["reward"] is None and not lines[-1]["completion"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the file is empty"),
        ("[]", "p.jsonl:1: expected an object"),
        ('{"text": "x"}', "p.jsonl:1: expected either 'messages' or 'prompt'"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "the last turn must be the user's"),
        ('{"messages": [{"role": "usr", "content": "x"}]}', r"messages\[0\].role: unknown role .did you mean 'user'"),
        ('{"prompt": " "}', r"prompt\[0\]: expected a role and a text"),
        ('{"prompt": "x\\ud83d"}', r"prompt\[0\]: holds half of a surrogate pair"),
        ('{"prompt": "x", "completions": 1}', "p.jsonl:1: completions: the reward function is given its own"),
    ],
)
def test_mistakes_in_a_file_of_prompts_are_named(line, message, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        read_prompts(path)


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        ("reward", None, "expected FILE.py:FUNCTION"),
        ("{}/none.py:f", None, "is no Python file"),
        ("{}/r.py:g", "def f(): pass", "the file has no function 'g'"),
        ("{}/r.py:f", "import nothing_such", "the file raised ModuleNotFoundError"),
    ],
)
def test_mistakes_in_naming_a_reward_are_named(source, content, message, tmp_path):
    if content:
        (tmp_path / "r.py").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_reward(source.format(tmp_path))


def test_the_command_trains_on_a_reward_of_ones_own(tiny_base, tmp_path):
    (tmp_path / "p.jsonl").write_text(
        "".join(json.dumps({"prompt": f"Add {i} and 2.", "wanted": str(i + 2)}) + "\n" for i in range(4))
    )
    (tmp_path / "r.py").write_text(
        "def right(prompts, completions, wanted):\n"
        "    return [float(w in c[0]['content']) for w, c in zip(wanted, completions)]\n"
    )
    small = ["--set", "method.steps=2", "--set", "prompts=2", "--set", "group=2", "--set", "max_tokens=4"]

    def run(*arguments):
        command = [sys.executable, "-m", "spillover", "reinforce", "--base", tiny_base("llama"), *small, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("--prompts", str(tmp_path / "p.jsonl"), "--reward", f"{tmp_path}/r.py:right", "--out", f"{tmp_path}/o")
    assert done.returncode == 0, done.stderr
    assert "2 steps, 8 episodes; last step: reward" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--environment", "worksop"], "did you mean 'workshop'"),
        ([], "give --prompts and --reward, or --environment"),
        (["--environment", "workshop", "--set", "grop=4"], "did you mean 'group'"),
        (["--environment", "workshop", "--set", "environment.penlty=4"], "did you mean 'penalty'"),
        (["--environment", "workshop", "--set", "environment=3"], "its fields as environment.FIELD"),
        (["--environment", "workshop", "--set", "method=3", "--set", "method.rank=4"], "'method' was set to a value"),
        (["--environment", "workshop", "--set", "method=[1"], "is not YAML"),
        (["--environment", "workshop", "--set", "engine=lean", "--set", "micro_batch=2"], "take engine trl"),
        (["--prompts", "p.jsonl", "--reward", "r.py:f", "--set", "environment.penalty=1"], "there is no --environment"),
        (["--prompts", "none.jsonl", "--reward", "r.py:f"], "no such file"),
    ],
)
def test_mistakes_of_the_command_are_one_line(arguments, message, tmp_path):
    done = CliRunner().invoke(app, ["reinforce", "--base", "b", "--out", str(tmp_path / "o"), *arguments])
    assert isinstance(done.exception, SpilloverError) and message in str(done.exception)
    assert "\n" not in str(done.exception) and not (tmp_path / "o").exists()


def test_an_unfinished_training_is_not_gone_on_from_with_other_settings(tmp_path):
    refuse_other(tmp_path, "reinforce", {"base": "a"})
    (tmp_path / "stage.json").write_text(json.dumps({"kind": "reinforce", "config": {"layers": [1]}, "inputs": {}}))
    refuse_other(tmp_path, "reinforce", {"base": "a"})
    (tmp_path / "checkpoint.pt").touch()
    refuse_other(tmp_path, "reinforce", {"layers": (1,)})
    with pytest.raises(StorageError, match="unfinished training of other settings"):
        refuse_other(tmp_path, "reinforce", {"layers": [2]})


def test_settings_say_what_is_wrong():
    with pytest.raises(ConfigError, match="group"):
        Reinforcement.parse({"group": 1}, "--set")
    with pytest.raises(ConfigError, match="micro_batch 5 does not divide the 12 completions"):
        from spillover.training.grpo.with_trl import train_with_trl

        train_with_trl(None, None, TASKS, settings(micro_batch=5), None)
