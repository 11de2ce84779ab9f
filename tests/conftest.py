"""Tiny random models of real architectures, made on the spot; nothing is downloaded."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of processes that tests start; tests run beside each other

import pytest
import torch

torch.set_num_threads(1)

FAMILIES = ("llama", "qwen2", "qwen3", "gemma", "gpt_neox")


def _config(family: str, vocabulary: int):
    from transformers import AutoConfig

    common = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if family != "gpt_neox":
        common |= {"num_key_value_heads": 2, "head_dim": 16}
    return AutoConfig.for_model(family, **common)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """``tiny_base("qwen2")`` is the folder of a tiny random model with the built-in tokenizer beside it."""
    from transformers import AutoModelForCausalLM

    from spillover.models.base import train_tokenizer
    from spillover.worlds.town.lexicon import load_lexicon

    tokenizer = train_tokenizer([text for topic in load_lexicon().topics for text in (*topic.ask, *topic.good)], 600)
    made: dict[str, str] = {}

    def make(family: str) -> str:
        if family not in made:
            folder = tmp_path_factory.mktemp("bases") / family
            torch.manual_seed(0)
            AutoModelForCausalLM.from_config(_config(family, len(tokenizer))).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[family] = str(folder)
        return made[family]

    return make
