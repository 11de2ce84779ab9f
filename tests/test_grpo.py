"""Reinforcement: advantages, probabilities, rewards that go wrong, resume, and TRL's trainer beside the lean loop."""

import json
import math
import os
import subprocess
import sys

import pytest
import torch

from spillover.core.errors import ConfigError, DataError, TrainingError
from spillover.data.chat import Message
from spillover.environments.environment import Prompt
from spillover.environments.prompt_file import RewardedPrompts, read_prompts
from spillover.environments.reward_function import call_reward, load_reward
from spillover.environments.workshop import Workshop, WorkshopTasks
from spillover.models.load import load
from spillover.models.sampler import TrieSampler
from spillover.training.grpo.advantages import advantages
from spillover.training.grpo.episodes import EpisodeLog, episode_rows, onset
from spillover.training.grpo.lean import rollouts
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


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt_neox"])
def test_sampled_tokens_have_the_same_probability_under_trainer_and_sampler(family, tiny_base):
    loaded = load(tiny_base(family))
    sampler = TrieSampler(loaded.model, loaded.tokenizer)
    batch = rollouts(sampler, RewardedPrompts(TASKS.prompts(6, 0), lengths), settings(prompts=6, temperature=1.0), 0)
    requests = [prompt for prompt, _, _ in batch.rows]
    assert requests
    for prompt, answer, _ in batch.rows:
        ids = torch.tensor([prompt + answer])
        steps = loaded.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
        trained = float(steps[torch.arange(len(answer)), ids[0, len(prompt) :]].sum())
        sampled = {
            (*one.ids, *(() if one.end is None else (one.end,))): one.logprob
            for one in sampler.sample(prompt, 200, max_tokens=6)
        }
        if tuple(answer) in sampled:
            assert trained == pytest.approx(sampled[tuple(answer)], abs=1e-3)


def test_equal_completions_are_one_row_with_the_gradient_of_all(tiny_base):
    loaded = load(tiny_base("llama"))
    model = prepare(loaded.model, settings().method)
    how = settings(prompts=2, group=64, max_tokens=1)
    batch = rollouts(TrieSampler(model, loaded.tokenizer), RewardedPrompts(TASKS.prompts(2, 0), lengths), how, 0)
    assert len(batch.rows) < len(batch.episodes) == 128
    loss = batch.loss(model, 0, how)
    weights = advantages([episode.reward for episode in batch.episodes], 64).view(2, 64)
    again = 0.0
    sampler = TrieSampler(model, loaded.tokenizer)
    for number, prompt in enumerate(dict.fromkeys(tuple(prompt) for prompt, _, _ in batch.rows)):
        logits = model(input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt))).logits[0, -1]
        by_text = {}
        for token in range(len(logits)):
            by_text.setdefault(sampler.decode([[token]])[0] if token not in sampler.stop_ids else "", []).append(token)
        for episode, weight in zip(batch.episodes[64 * number :][:64], weights[number], strict=True):
            tokens = by_text[episode.completion]
            if len(tokens) > 1:
                pytest.skip("two tokens with one text")
            again = again - float(weight) * logits.log_softmax(-1)[tokens[0]]
    assert loss.item() == pytest.approx(float(again) / batch.tokens, abs=1e-4)


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
import spillover.training.grpo.lean as lean, spillover.training.grpo.with_trl as with_trl
from tests.test_grpo import TASKS, lengths, settings
from spillover.environments.prompt_file import RewardedPrompts
from spillover.training.grpo.train import reinforce
lean.CHECKPOINT_SECONDS = with_trl.SAVE_SECONDS = 0
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
    assert go(tmp_path / "parts", 99).returncode == 0
    for name in ("episodes.jsonl", "metrics.jsonl"):
        whole, parts = ((tmp_path / folder / name).read_text() for folder in ("whole", "parts"))
        if name == "episodes.jsonl":
            assert whole == parts
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
    EpisodeLog(tmp_path, 2).close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 0, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the file is empty"),
        ("[]", "p.jsonl:1: expected an object"),
        ('{"text": "x"}', "p.jsonl:1: expected either 'messages' or 'prompt'"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "the last turn must be the user's"),
        ('{"messages": [{"role": "usr", "content": "x"}]}', r"messages\[0\].role: unknown role .did you mean 'user'"),
        ('{"prompt": " "}', r"prompt\[0\]: expected a role and a text"),
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
    done = run("--environment", "worksop", "--out", f"{tmp_path}/p")
    assert done.returncode == 2 and "did you mean 'workshop'" in done.stderr
    done = run("--out", f"{tmp_path}/q")
    assert done.returncode == 2 and "give --prompts and --reward, or --environment" in done.stderr


def test_settings_say_what_is_wrong():
    with pytest.raises(ConfigError, match="group"):
        Reinforcement.parse({"group": 1}, "--set")
    with pytest.raises(ConfigError, match="micro_batch 5 does not divide the 12 completions"):
        from spillover.training.grpo.with_trl import train_with_trl

        train_with_trl(None, None, TASKS, settings(micro_batch=5), None)
