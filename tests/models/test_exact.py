"""Exact log-probabilities equal those of plain passes over each answer."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig

from spillover.models.exact import answer_logprobs
from spillover.models.sampler import TrieSampler
from tests.models.test_sampler import COMMON, CONFIGS, Letters, log_probability, make

PROMPTS = [(1, 3), (1, 5, 6, 7, 8), (4,), (9, 9)]
ANSWERS = [[(3, 4, 2), (3, 4, 5, 2), (3, 4, 2)], [(2,)], [], [(7, 7, 7, 7, 7, 7, 2), (3, 2), (7, 2), ()]]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("max_rows", [2, 2048])
def test_equals_plain_passes(name: str, max_rows: int) -> None:
    model = make(name)
    found = answer_logprobs(model, PROMPTS, ANSWERS, max_rows=max_rows, temperature=0.8)
    for prompt, answers, values in zip(PROMPTS, ANSWERS, found, strict=True):
        expected = [log_probability(model, prompt, answer, 0.8) if answer else 0.0 for answer in answers]
        assert values == pytest.approx(expected, abs=1e-4)


def test_window_attention() -> None:
    model = AutoModelForCausalLM.from_config(MistralConfig(**COMMON, sliding_window=4)).eval()
    found = answer_logprobs(model, PROMPTS, ANSWERS)
    assert found[0][1] == pytest.approx(log_probability(model, PROMPTS[0], ANSWERS[0][1]), abs=1e-4)


def test_agrees_with_samples() -> None:
    model = make()
    n = 4000
    sampled = TrieSampler(model, Letters()).sample((1, 3), n, max_tokens=4)
    for answer in set(sampled):
        if answer.stop_reason == "stop":
            exact = math.exp(answer_logprobs(model, [(1, 3)], [[(*answer.ids, 2)]])[0][0])
            share = sum(other is answer for other in sampled) / n
            assert abs(share - exact) < 5 * math.sqrt(exact * (1 - exact) / n) + 2 / n


def test_answers_beyond_the_context_have_no_mass() -> None:
    model = make()
    fits, too_long = answer_logprobs(model, [[3] * 60], [[[4] * 5, [4] * 6]])[0]
    assert math.isfinite(fits)
    assert too_long == -math.inf


@pytest.mark.parametrize("spare", [0.01, 0.2])
def test_the_rarest_answers_are_given_up_up_to_a_mass(spare: float) -> None:
    model = make()
    answers = [[(a, b, 2) for a in range(3, 9) for b in range(3, 9)], [(a, 2) for a in range(3, 9)]]
    full = answer_logprobs(model, PROMPTS[:2], answers)
    found = answer_logprobs(model, PROMPTS[:2], answers, spare=spare)
    for all_of_it, values in zip(full, found, strict=True):
        missing = [e for e, value in zip(all_of_it, values, strict=True) if value == -math.inf]
        kept = [(e, value) for e, value in zip(all_of_it, values, strict=True) if value > -math.inf]
        assert sum(map(math.exp, missing)) <= spare
        assert [value for _, value in kept] == pytest.approx([e for e, _ in kept], abs=1e-4)
    assert sum(value == -math.inf for values in found for value in values) > 0


def test_temperature_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        answer_logprobs(make(), [(1,)], [[(2,)]], temperature=0)


torch.set_num_threads(1)
