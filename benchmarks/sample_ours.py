"""2,000 short answers with Spillover's sampler."""

import sys

from sampling_task import MAX_TOKENS, SAMPLES, questions

from spillover.data.chat import Message
from spillover.models.chat_template import encode_chat
from spillover.models.load import load
from spillover.models.sampler import SampleRequest, TrieSampler

if __name__ == "__main__":
    loaded = load(sys.argv[1], lean=True)
    prompts = [
        encode_chat(loaded.tokenizer, [Message("user", text)], add_generation_prompt=True) for text in questions()
    ]
    requests = [SampleRequest(tuple(prompt), SAMPLES, 1.0, MAX_TOKENS, seed) for seed, prompt in enumerate(prompts)]
    answers = TrieSampler(loaded.model, loaded.tokenizer).sample_many(requests)
    assert [len(found) for found in answers] == [SAMPLES] * len(prompts)
