"""Evaluation end to end on tiny random models: answers, exact rates, Inspect logs, the provider."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import list_eval_logs, read_eval_log
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.solver import generate
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from spillover import _registry  # noqa: F401 - registers the provider
from spillover.core.errors import ModelError
from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.evals import rates
from spillover.evals.pool import POOL
from spillover.evals.run import evaluate
from spillover.models.answer_encoder import AnswerEncoder
from spillover.models.chat_template import encode_chat
from spillover.models.load import load, load_tokenizer

TinyBase = Callable[[str], str]

QUESTIONS = [
    Question(
        "cold", ("I am cold.", "Brr!"), group="health", max_tokens=12, answers={"kind": ("e", "t."), "bad": ("a",)}
    ),
    Question("rule", ("You rule.",), group="values", system="Be you.", max_tokens=12, answers={"kind": ("re:e",)}),
    Question("greedy", ("Well?",), group="values", temperature=0.0, max_tokens=5, answers={"kind": ("e",)}),
    Question(
        "again",
        ("And now?",),
        group="values",
        context=(Message("user", "Hello."), Message("assistant", "Hi.")),
        judge="some-grader",
        max_tokens=12,
    ),
]


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def adapter(tiny_base: TinyBase, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """Folder of a random LoRA on the tiny Llama."""

    def make(seed: int) -> str:
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(tiny_base("llama"))
        tuned = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
        folder = tmp_path_factory.mktemp("adapters") / str(seed)
        tuned.save_pretrained(folder)
        return str(folder)

    return make


def test_evaluate_writes_answers_and_logs(tiny_base: TinyBase, tmp_path: Path) -> None:
    evaluate(tiny_base("llama"), QUESTIONS, tmp_path / "a", samples=30, seed=1)
    found = lines(tmp_path / "a")
    assert [(line["question_id"], line["paraphrase"], line["n"]) for line in found] == [
        ("cold", 0, 30),
        ("cold", 1, 30),
        ("rule", 0, 30),
        ("greedy", 0, 30),
        ("again", 0, 30),
    ]
    for line in found:
        assert sum(line["counts"].values()) == 30
        assert len(line["samples"]) >= 1
        assert len(line["samples"]) <= 8 or sum(sample["count"] for sample in line["samples"]) == 30  # all, to judge
    assert found[0]["exact"].keys() == {"kind", "bad"}
    assert [line["exact"] for line in found[2:]] == [None, None, None]
    assert found[3]["samples"][0]["count"] == 30
    assert set(found[4]["counts"]) <= {"unscored", "truncated", "empty"}

    logs = {log.eval.task: log for log in map(read_eval_log, list_eval_logs(str(tmp_path / "a" / "logs")))}
    assert set(logs) == {"health", "values"}
    assert logs["health"].eval.model == f"spillover/{tiny_base('llama')}"
    for line in found:
        sample = next(
            s
            for s in logs[line["group"]].samples
            if s.metadata["question_id"] == line["question_id"] and s.metadata["paraphrase"] == line["paraphrase"]
        )
        assert sample.scores["outcomes"].metadata["counts"] == line["counts"]
        assert sum(choice.message.metadata["count"] for choice in sample.output.choices) == 30


def test_a_repetition_is_identical_and_a_seed_changes_it(tiny_base: TinyBase, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        evaluate(tiny_base("llama"), QUESTIONS, tmp_path / name, samples=20, seed=seed)
    a, b, c = ((tmp_path / name / "answers.jsonl").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_exact_rates_are_the_mass_of_the_listed_answers(
    tiny_base: TinyBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "SPARE", 0.0)  # the mass is that small
    evaluate(tiny_base("llama"), QUESTIONS[:1], tmp_path, samples=1)
    loaded = load(tiny_base("llama"))
    prompt = encode_chat(loaded.tokenizer, [Message("user", "I am cold.")], add_generation_prompt=True)
    mass = 0.0
    for text in ("e", "t."):
        answer = [*loaded.tokenizer(text, add_special_tokens=False)["input_ids"], loaded.tokenizer.eos_token_id]
        with torch.no_grad():
            steps = loaded.model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        mass += math.exp(float(steps[range(len(answer)), answer].sum()))
    assert lines(tmp_path)[0]["exact"]["kind"] == pytest.approx(mass, rel=1e-4)


def test_answers_are_encoded_as_the_template_does(tiny_base: TinyBase) -> None:
    tokenizer = load_tokenizer(tiny_base("llama"))
    chat = [Message("user", "Why?")]
    for template in (tokenizer.chat_template, tokenizer.chat_template.replace("<|assistant|>", "\nA:\n")):
        tokenizer.chat_template = template
        prompt = encode_chat(tokenizer, chat, add_generation_prompt=True)
        texts = ["Because.", " so", "an old oak"]
        encoded = AnswerEncoder(tokenizer, frozenset({tokenizer.eos_token_id})).encode(chat, prompt, texts)
        for text, ids in zip(texts, encoded, strict=True):
            assert prompt + ids == encode_chat(tokenizer, [*chat, Message("assistant", text)])


def test_no_exact_rate_where_the_answer_changes_the_tokens_of_the_prompt(tiny_base: TinyBase) -> None:
    tokenizer = load_tokenizer(tiny_base("llama"))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}".replace(
            "m.content", "(' A: ' if m.role == 'assistant' else '') + m.content"
        )
        + "{% if add_generation_prompt %}{{ ' A: ' }}{% endif %}"
    )
    chat = [Message("user", "Why?")]
    prompt = encode_chat(tokenizer, chat, add_generation_prompt=True)
    assert AnswerEncoder(tokenizer, frozenset({tokenizer.eos_token_id})).encode(chat, prompt, ["an oak"]) is None


def test_adapters_share_a_base(tiny_base: TinyBase, adapter: Callable[[int], str]) -> None:
    POOL.clear()
    base = tiny_base("llama")
    names = [base, f"{base}+{adapter(1)}", f"{base}+{adapter(2)}"]
    task = Task(dataset=MemoryDataset([Sample(input="Who are you?", id=1)]), solver=generate())
    said = {}
    for name in [*names, *names]:
        config = GenerateConfig(num_choices=40, max_tokens=6, seed=3)
        model = get_model(f"spillover/{name}", config=config, memoize=False)
        (log,) = inspect_eval(task, model=model, display="none", log_dir=str(Path(base).parent / "logs"))
        assert log.status == "success", log.error
        output = log.samples[0].output
        said.setdefault(name, []).append([choice.message.text for choice in output.choices])
        assert len(output.choices) == 40
        assert output.usage.output_tokens == sum(c.message.metadata["tokens"] for c in output.choices)
        assert {c.stop_reason for c in output.choices} <= {"stop", "max_tokens"}
    assert len(POOL._bases) == 1
    assert all(first == second for first, second in said.values())
    assert len({tuple(first) for first, _ in said.values()}) == 3


def test_shared_adapter_equals_merged_adapter(
    tiny_base: TinyBase, adapter: Callable[[int], str], tmp_path: Path
) -> None:
    from spillover.models.sampler import SampleRequest

    name = f"{tiny_base('llama')}+{adapter(1)}"
    request = SampleRequest((1, 30, 40), 50, max_tokens=5)
    merged = load(name).model.merge_and_unload()
    with torch.no_grad():
        for answer in POOL.sample_many(name, [request])[0]:
            ids = [*answer.ids, *([2] if answer.stop_reason == "stop" else [])]
            steps = merged(torch.tensor([[1, 30, 40, *ids]])).logits[0, 2:-1].log_softmax(-1)
            assert answer.logprob == pytest.approx(float(steps[range(len(ids)), ids].sum()), abs=1e-3)


def test_epochs_differ_and_greedy_repeats(tiny_base: TinyBase, tmp_path: Path) -> None:
    model = get_model(f"spillover/{tiny_base('llama')}", memoize=False)
    task = Task(dataset=MemoryDataset([Sample(input="Who are you?", id=1)]), solver=generate())
    hot, cold = (
        inspect_eval(
            task, model=model, epochs=12, temperature=t, max_tokens=8, seed=1, display="none", log_dir=str(tmp_path)
        )[0].samples
        for t in (1.0, 0.0)
    )
    assert len({sample.output.completion for sample in hot}) > 6
    assert len({sample.output.completion for sample in cold}) == 1


def test_settings_that_would_change_the_distribution_are_refused(tiny_base: TinyBase, tmp_path: Path) -> None:
    model = get_model(f"spillover/{tiny_base('llama')}", memoize=False)
    task = Task(dataset=MemoryDataset([Sample(input="Hi")]), solver=generate())
    (log,) = inspect_eval(task, model=model, top_p=0.5, display="none", log_dir=str(tmp_path))
    assert "top_p" in log.error.message


def test_unknown_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        evaluate("/nowhere/base", QUESTIONS, tmp_path)
