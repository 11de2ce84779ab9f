import importlib.util

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from spillover.core.errors import ConfigError, ModelError
from spillover.data import ChatRow, Message
from spillover.models.chat_template import encode_chat
from spillover.models.identity import made_elsewhere
from spillover.models.load import load, merged
from spillover.models.names import Added, ModelName
from spillover.models.steering import SteeringVector
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Method

ROWS = [ChatRow((Message("user", "Name a bird."), Message("assistant", name))) for name in ("A lark.", "An owl.")]


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("base", ()),
        ("org/base+./a", (Added("./a"),)),
        ("base+a@40*0.5", (Added("a", 40, 0.5),)),
        ("base+a*-2+b@3", (Added("a", None, -2.0), Added("b", 3))),
        ("/x/base+/y/lora+/z/vector*2", (Added("/y/lora"), Added("/z/vector", None, 2.0))),
        ("~/base~4bit+a", (Added("a"),)),
    ],
)
def test_names_are_read_and_written(text, added):
    name = ModelName.parse(text)
    assert name.added == added
    assert str(name) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [("base*2", "write BASE"), ("base@4+a", "write BASE"), ("a++b", "expected"), ("", "expected"), ("a+b*x", "exp")],
)
def test_what_is_no_name(text, hint):
    with pytest.raises(ModelError, match=hint):
        ModelName.parse(text)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_two_loras_and_a_vector_add_up(family, tiny_base, tmp_path):
    base = tiny_base(family)
    for seed in (0, 1):
        torch.manual_seed(seed)
        options = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
        get_peft_model(load(base).model, options).save_pretrained(tmp_path / f"lora{seed}")
    vector = SteeringVector(1, torch.randn(32, generator=torch.Generator().manual_seed(2)))
    vector.save(tmp_path / "vector")
    plain = load(base)
    ids = torch.tensor([encode_chat(plain.tokenizer, [Message("user", "Why?")], add_generation_prompt=True)])

    by_hand = load(base).model
    for seed in (0, 1):
        by_hand = PeftModel.from_pretrained(by_hand, str(tmp_path / f"lora{seed}")).merge_and_unload()
    block = by_hand.model.layers[1]
    block.register_forward_hook(
        lambda module, given, out: (out[0] if isinstance(out, tuple) else out) + 2 * vector.vector
    )
    name = f"{base}+{tmp_path / 'lora0'}+{tmp_path / 'lora1'}+{tmp_path / 'vector'}*2"
    with torch.inference_mode():
        expected = by_hand(input_ids=ids).logits
        found = merged(load(name).model)(input_ids=ids).logits
        without = load(f"{base}+{tmp_path / 'lora0'}").model(input_ids=ids).logits
    assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(found, without, atol=1e-2)


def test_two_loras_in_our_own_forward_pass(tiny_base, tmp_path):
    base = tiny_base("llama")
    for seed in (0, 1):
        torch.manual_seed(seed)
        options = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        get_peft_model(load(base).model, options).save_pretrained(tmp_path / f"lora{seed}")
    name = f"{base}+{tmp_path / 'lora0'}*0.5+{tmp_path / 'lora1'}"
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        ours, theirs = (merged(load(name, lean=lean).model)(input_ids=ids).logits for lean in (True, False))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_bits_belong_to_the_base():
    name = ModelName.parse("~/base~4bit+a*2")
    assert (name.base, name.bits, name.loaded) == ("~/base", 4, "~/base~4bit")
    assert ModelName.parse("~/base").bits is None
    assert ModelName.parse("base~16bit").base == "base~16bit"  # no such suffix: a folder may be called so


def test_quantized_weights(tiny_base, tmp_path):
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(ModelError, match=r"pip install 'spillover\[quantized\]'"):
            load(f"{tiny_base('qwen3')}~4bit")
        return
    base = f"{tiny_base('qwen3')}~8bit"  # four bits come in blocks larger than this model's matrices
    with pytest.raises(ConfigError, match="quantized weights cannot be trained"):
        fine_tune(base, ROWS, Method(kind="full", steps=1), tmp_path / "full")
    summary = fine_tune(base, ROWS, Method(steps=20, learning_rate=1e-2, rank=2), tmp_path / "lora")
    assert summary["last_loss"] < summary["first_loss"]
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        plain, tuned = (load(name).model(input_ids=ids).logits for name in (base, f"{base}+{tmp_path / 'lora'}"))
    assert not torch.allclose(plain, tuned, atol=1e-2)


def test_a_folder_is_known_by_what_is_in_it(tmp_path):
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "adapter_model.safetensors").write_bytes(b"1")
    name = f"hub/model+{tmp_path}/tuned"
    first = made_elsewhere(name)
    assert made_elsewhere(name) == first and made_elsewhere("hub/model") == {"base": "hub/model"}
    (tmp_path / "tuned" / "adapter_model.safetensors").write_bytes(b"22")
    assert made_elsewhere(name)["base"] == first["base"] and made_elsewhere(name)["content"] != first["content"]
