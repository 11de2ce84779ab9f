"""The tree sampler draws from exactly the distribution of the model."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from spillover.core.errors import ModelError
from spillover.models.plain import forest_is_exact
from spillover.models.sampler import SampleRequest, TrieSampler

torch.set_num_threads(1)

COMMON = dict(
    vocab_size=11,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=64,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
NEOX = {key: value for key, value in COMMON.items() if key not in ("num_key_value_heads", "head_dim")}
CONFIGS = {
    "llama": LlamaConfig(**COMMON),
    "qwen2": Qwen2Config(**COMMON),
    "qwen3": Qwen3Config(**COMMON),
    "gemma": GemmaConfig(**COMMON),
    "gpt-neox": GPTNeoXConfig(**NEOX),
}


class Letters:
    """A stand-in tokenizer: token i is the i-th letter."""

    eos_token_id = 2

    def batch_decode(self, ids: list[list[int]], **_: Any) -> list[str]:
        return ["".join(chr(97 + token) for token in answer) for answer in ids]


def make(name: str = "llama", spread: float = 0.4, **changes: Any) -> Any:
    """A random model; ``spread`` sets how peaked its distributions are."""
    torch.manual_seed(0)
    config = CONFIGS[name].__class__(**{**CONFIGS[name].to_dict(), **changes})
    model = AutoModelForCausalLM.from_config(config).eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, spread)
    return model


@torch.no_grad()
def log_probability(model: Any, prompt: tuple[int, ...], ids: tuple[int, ...], temperature: float = 1.0) -> float:
    tokens = torch.tensor([[*prompt, *ids]])
    logits = model(tokens).logits[0].double() / temperature
    steps = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return float(steps[range(len(ids)), list(ids)].sum())


@pytest.mark.parametrize("name", CONFIGS)
def test_logprobs_are_those_of_a_plain_pass(name: str) -> None:
    model = make(name)
    assert forest_is_exact(model)
    sampler = TrieSampler(model, Letters(), max_rows=16)
    requests = [SampleRequest(prompt, 60, max_tokens=6) for prompt in [(1, 3), (1, 5, 6, 7, 8), (4,)]]
    for request, answers in zip(requests, sampler.sample_many(requests), strict=True):
        assert len(answers) == 60
        for answer in set(answers):
            ids = answer.ids + ((2,) if answer.stop_reason == "stop" else ())
            assert len(ids) == answer.tokens <= 6
            assert answer.logprob == pytest.approx(log_probability(model, request.prompt_ids, ids), abs=1e-4)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_frequencies_are_the_probabilities(temperature: float) -> None:
    model = make()
    prompt, n = (1, 4, 3), 40_000
    answers = TrieSampler(model, Letters()).sample(prompt, n, temperature, max_tokens=3)
    counts = Counter((answer.ids, answer.stop_reason) for answer in answers)
    chi_square, cells, rest = 0.0, 0, float(n)
    for (ids, reason), count in counts.items():
        full = ids + ((2,) if reason == "stop" else ())
        expected = n * math.exp(log_probability(model, prompt, full, temperature))
        if expected >= 10:
            chi_square += (count - expected) ** 2 / expected
            cells += 1
            rest -= expected
    assert cells > 20
    assert rest < 0.2 * n
    assert abs(chi_square - cells) < 4.5 * math.sqrt(2 * cells)


def test_samples_are_independent_of_each_other() -> None:
    answers = TrieSampler(make(), Letters()).sample((1, 4), 20_000, max_tokens=2)
    pairs = Counter((a.ids[:1], b.ids[:1]) for a, b in zip(answers[::2], answers[1::2], strict=True))
    single = Counter(a.ids[:1] for a in answers)
    for (a, b), count in pairs.items():
        expected = 10_000 * single[a] * single[b] / 20_000**2
        assert abs(count - expected) < 5 * math.sqrt(expected) + 5


def test_the_batch_does_not_matter() -> None:
    model = make()
    sampler = TrieSampler(model, Letters())
    requests = [SampleRequest(tuple(range(3, 3 + k)), 50, max_tokens=8, seed=5) for k in range(1, 7)]
    together = sampler.sample_many(requests)
    for request, answers in zip(requests, together, strict=True):
        assert [a.ids for a in sampler.sample_many([request])[0]] == [a.ids for a in answers]
    narrow = TrieSampler(model, Letters(), max_rows=7).sample_many(requests)
    assert [[a.ids for a in answers] for answers in narrow] == [[a.ids for a in answers] for answers in together]


def test_seeds_differ_and_repeat() -> None:
    sampler = TrieSampler(make(), Letters())
    first, again, other = (sampler.sample((1, 3), 20, max_tokens=8, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert [a.ids for a in first] != [a.ids for a in other]


def test_temperature_zero_is_the_greedy_answer() -> None:
    model = make()
    prompt = torch.tensor([[1, 3, 5]])
    expected = model.generate(prompt, do_sample=False, max_new_tokens=12)[0, 3:].tolist()
    expected = expected[: expected.index(2)] if 2 in expected else expected
    answers = TrieSampler(model, Letters()).sample((1, 3, 5), 4, 0.0, max_tokens=12)
    assert [list(answer.ids) for answer in answers] == [expected] * 4


def test_mixed_requests_and_stop_reasons() -> None:
    sampler = TrieSampler(make(), Letters())
    hot, cold, short = sampler.sample_many(
        [SampleRequest((1, 3), 30, 1.3, 9), SampleRequest((1, 3), 5, 0.0, 9), SampleRequest((1, 3), 30, 1.0, 1)]
    )
    assert len(set(cold)) == 1
    assert {a.stop_reason for a in hot} == {"stop", "length"}
    assert all(a.tokens == 1 for a in short)
    assert all((a.stop_reason == "stop") == (a.ids == ()) for a in short)


def test_context_is_respected() -> None:
    sampler = TrieSampler(make(), Letters(), stop_ids=())
    answers = sampler.sample([3] * 60, 2, max_tokens=50)
    assert {(a.tokens, a.stop_reason) for a in answers} == {(4, "length")}
    with pytest.raises(ModelError, match="64 tokens"):
        sampler.sample([3] * 64, 1)


def test_window_attention_falls_back_to_generate() -> None:
    model = AutoModelForCausalLM.from_config(MistralConfig(**COMMON, sliding_window=4)).eval()
    assert not forest_is_exact(model)
    answers = TrieSampler(model, Letters()).sample((1, 3, 4, 5), 6, max_tokens=5)
    assert len(answers) == 6
    for answer in answers:
        ids = answer.ids + ((2,) if answer.stop_reason == "stop" else ())
        assert answer.logprob == pytest.approx(log_probability(model, (1, 3, 4, 5), ids), abs=1e-4)
