"""Our own forward pass of a plain Llama is that of Transformers, and is taken for nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from spillover.core.errors import ModelError
from spillover.models.exact import answer_logprobs
from spillover.models.lean_folder import lean_llama
from spillover.models.lean_llama import LeanLlama
from spillover.models.load import load
from spillover.models.sampler import SampleRequest, TrieSampler
from spillover.models.slots import SlotCache

TinyBase = Callable[[str], str]

torch.set_num_threads(1)

SHAPES: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "untied": {"tie_word_embeddings": False},
    "grouped queries": {"num_key_value_heads": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    "one key head": {"num_key_value_heads": 1, "head_dim": 12, "rms_norm_eps": 1e-3},
}
IDS = torch.tensor([[0, 0, 0, 1, 3, 5], [0, 1, 7, 8, 9, 4], [1, 2, 3, 4, 5, 6]])
SEEN = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
POSITIONS = (SEEN.cumsum(1) - 1).clamp(min=0)


def save(folder: Path, tokenizer_of: str, **changes: Any) -> str:
    """The folder of a random Llama whose distributions are peaked."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    config = LlamaConfig(
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
            "bos_token_id": 1,
            "eos_token_id": 2,
            **changes,
        }
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3) if parameter.dim() == 2 else parameter.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(params=SHAPES)
def pair(request: pytest.FixtureRequest, tiny_base: TinyBase, tmp_path: Path) -> tuple[Any, LeanLlama]:
    """A model as Transformers and as we compute it."""
    folder = save(tmp_path, tiny_base("llama"), **SHAPES[request.param])
    lean = load(folder, lean=True).model
    assert isinstance(lean, LeanLlama)
    return load(folder).model, lean


@torch.no_grad()
def test_logits(pair: tuple[Any, LeanLlama]) -> None:
    given: list[dict[str, Any]] = [
        {},
        {"attention_mask": SEEN, "position_ids": POSITIONS},
        {"attention_mask": SEEN, "position_ids": POSITIONS, "logits_to_keep": 1},
    ]
    for arguments in given:
        theirs, ours = (model(IDS, **arguments).logits for model in pair)
        assert theirs.shape == ours.shape
        shown = SEEN[:, -ours.shape[1] :].bool()
        assert (theirs - ours)[shown].abs().max() < 1e-4


@torch.no_grad()
def test_cache_and_tree_mask(pair: tuple[Any, LeanLlama]) -> None:
    """Two children of the last token, which do not see each other; then one more token each, without a mask."""
    theirs, ours = pair
    start: dict[str, Any] = {"attention_mask": SEEN, "position_ids": POSITIONS, "use_cache": True}
    cache = SlotCache()
    first = theirs(IDS, **start)
    ours(IDS, **start, past_key_values=cache)
    hidden = torch.zeros(3, 1, 2, 8)
    hidden[:, 0, :, :6].masked_fill_(SEEN[:, None] == 0, torch.finfo(torch.float32).min)
    hidden[:, 0, :, 6:].masked_fill_(~torch.eye(2, dtype=torch.bool), torch.finfo(torch.float32).min)
    children: dict[str, Any] = {
        "input_ids": torch.tensor([[4, 9], [7, 7], [3, 8]]),
        "attention_mask": hidden,
        "position_ids": POSITIONS[:, -1:].expand(-1, 2) + 1,
    }
    expected = theirs(**children, past_key_values=first.past_key_values).logits
    assert (expected - ours(**children, past_key_values=cache).logits).abs().max() < 1e-4
    for tokens in (torch.tensor([[5], [6], [7]]), torch.tensor([[5, 3], [6, 3], [7, 3]])):
        expected = theirs(tokens, past_key_values=first.past_key_values).logits
        assert (expected - ours(tokens, past_key_values=cache).logits).abs().max() < 1e-4
    assert cache.get_seq_length() == 11


def test_samples_and_exact_rates(pair: tuple[Any, LeanLlama], tiny_base: TinyBase) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base("llama"))
    requests = [SampleRequest(prompt, 40, 1.0, 6, seed=1) for prompt in [(1, 3), (1, 5, 6, 7, 8), (4,)]]
    theirs, ours = (TrieSampler(model, tokenizer).sample_many(requests) for model in pair)
    assert [[a.ids for a in group] for group in ours] == [[a.ids for a in group] for group in theirs]
    answers = [[(*answer.ids, 2) for answer in set(group)] for group in theirs]
    rates = [answer_logprobs(model, [request.prompt_ids for request in requests], answers) for model in pair]
    for expected, found in zip(*rates, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)


def test_what_the_sampler_asks_of_a_model(pair: tuple[Any, LeanLlama]) -> None:
    theirs, ours = pair
    assert ours.num_parameters() == theirs.num_parameters()
    assert ours.dtype == theirs.dtype
    assert ours.device == theirs.device
    assert ours.generation_config.eos_token_id == theirs.generation_config.eos_token_id
    config = theirs.config.get_text_config()
    assert all(getattr(config, name) == value for name, value in vars(ours.config).items() if name != "rope_theta")
    assert ours.to("cpu")(IDS).logits.equal(ours(IDS).logits)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_bias": True},
        {"mlp_bias": True},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
        {"sliding_window": 4},
    ],
    ids=str,
)
def test_other_networks_stay_with_transformers(changes: dict[str, Any], tiny_base: TinyBase, tmp_path: Path) -> None:
    folder = save(tmp_path, tiny_base("llama"), **changes)
    assert isinstance(load(folder, lean=True).model, LlamaForCausalLM)


def test_other_families_and_adapters_in_the_folder_stay_with_transformers(tiny_base: TinyBase, tmp_path: Path) -> None:
    assert lean_llama(tiny_base("qwen2")) is None
    folder = save(tmp_path, tiny_base("llama"))
    assert lean_llama(folder) is not None
    (tmp_path / "adapter_config.json").write_text("{}")
    assert lean_llama(folder) is None


def test_a_damaged_folder_gives_the_message_of_transformers(tiny_base: TinyBase, tmp_path: Path) -> None:
    def damaged(name: str, content: bytes) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        save(folder, tiny_base("llama"))
        (folder / name).write_bytes(content)
        return str(folder)

    settings = json.loads(Path(tiny_base("llama"), "config.json").read_text())
    for folder in [
        damaged("config.json", b"{"),
        damaged("config.json", json.dumps({**settings, "hidden_size": 48}).encode()),
        damaged("model.safetensors", b"short"),
        damaged("tokenizer.json", b"{"),
        damaged("tokenizer_config.json", b"{"),
    ]:
        with pytest.raises(ModelError) as theirs:
            load(folder)
        with pytest.raises(ModelError) as ours:
            load(folder, lean=True)
        assert str(ours.value) == str(theirs.value)


def test_sampling_imports_no_modelling_code(tiny_base: TinyBase) -> None:
    code = """
import sys
from spillover.evals import run
from spillover.data.chat import Message
from spillover.models.chat_template import encode_chat

loaded = run.load_placed(sys.argv[1])
prompt = encode_chat(loaded.tokenizer, [Message("user", "Who are you?")], add_generation_prompt=True)
assert len(run.TrieSampler(loaded.model, loaded.tokenizer).sample(prompt, 9, max_tokens=4)) == 9
heavy = ("transformers.modeling_utils", "transformers.cache_utils", "transformers.generation", "torch._dynamo", "peft")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, tiny_base("llama")], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
