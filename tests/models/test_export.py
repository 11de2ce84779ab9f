"""What is exported gives, loaded by other libraries, the logits of a forward that adds the vector by hand."""

import json

import pytest
import torch

from spillover.core.errors import ModelError
from spillover.models.export import export
from spillover.models.load import load
from spillover.models.steering import SteeringVector
from tests.conftest import FAMILIES
from tests.models.test_steering import _ids, _reference

LENGTHS = (8, 5, 3)
HAS_BIASES = ("llama", "gpt_neox")


@pytest.fixture(params=(-1, 0, 1))
def vector(request, tmp_path):
    made = SteeringVector(request.param, torch.randn(32, generator=torch.Generator().manual_seed(1)))
    made.save(tmp_path / "vector")
    return made


@torch.no_grad()
def _same_as_by_hand(model, base, vector):
    """Rows of several lengths in one batch, padded on either side."""
    ids, plain = _ids(3, 8), load(base).model
    wanted = [_reference(plain, ids[i : i + 1, :n], vector)[0] for i, n in enumerate(LENGTHS)]
    for side in ("left", "right"):
        padded, mask, position = (torch.zeros_like(ids) for _ in range(3))
        places = [slice(8 - n, 8) if side == "left" else slice(0, n) for n in LENGTHS]
        for i, n in enumerate(LENGTHS):
            padded[i, places[i]], mask[i, places[i]], position[i, places[i]] = ids[i, :n], 1, torch.arange(n)
        found = model(input_ids=padded, attention_mask=mask, position_ids=position).logits
        for i in range(3):
            assert (found[i, places[i]] - wanted[i]).abs().max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_peft_loads_it(family, vector, tiny_base, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = tiny_base(family)
    written = export(f"{base}+{tmp_path / 'vector'}*-0.5", "peft", tmp_path / "out")
    assert torch.equal(written.vector, vector.vector * -0.5)
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "out").eval()
    _same_as_by_hand(tuned, base, vector * -0.5)
    _same_as_by_hand(load(f"{base}+{tmp_path / 'out'}*3").model, base, vector * -1.5)
    weights = tmp_path / "out" / "adapter_model.safetensors"
    assert weights.stat().st_size < 8000  # the adapter only, no copy of the embeddings


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_a_model_by_itself(family, vector, tiny_base, tmp_path):
    from transformers import AutoModelForCausalLM

    base, name = tiny_base(family), f"{tiny_base(family)}+{tmp_path / 'vector'}*2"
    if vector.layer >= 0 and family not in HAS_BIASES:
        with pytest.raises(ModelError, match=r"no bias at 'model.layers.*down_proj'.*export it as peft") as caught:
            export(name, "checkpoint", tmp_path / "out")
        assert "\n" not in str(caught.value)
        assert not any((tmp_path / "out").iterdir())
        return
    export(name, "checkpoint", tmp_path / "out")
    _same_as_by_hand(AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval(), base, vector * 2)
    lean, plain = load(str(tmp_path / "out"), lean=True), load(str(tmp_path / "out"))
    assert lean.tokenizer.encode("What now?") == load(base).tokenizer.encode("What now?")
    ids = _ids(2, 6)
    with torch.no_grad():
        assert torch.allclose(lean.model(input_ids=ids).logits, plain.model(input_ids=ids).logits, atol=1e-4)


@pytest.mark.parametrize("form", ["peft", "checkpoint"])
def test_a_vector_of_length_zero_changes_nothing(form, vector, tiny_base, tmp_path):
    base = tiny_base("llama")
    export(f"{base}+{tmp_path / 'vector'}*0", form, tmp_path / "out")
    exported = load(f"{base}+{tmp_path / 'out'}" if form == "peft" else str(tmp_path / "out")).model
    with torch.no_grad():
        assert torch.equal(exported(input_ids=_ids(2, 6)).logits, load(base).model(input_ids=_ids(2, 6)).logits)


def test_a_norm_behind_the_last_linear_layer_is_noticed(vector, tiny_base, tmp_path):
    """Gemma 2 normalises what a block's last linear layer gives, so that a bias there is not a shift."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = load(tiny_base("gemma")).tokenizer
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = AutoConfig.for_model("gemma2", vocab_size=len(tokenizer), **shape, **heads)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    name = f"{tmp_path / 'base'}+{tmp_path / 'vector'}"
    if vector.layer == -1:
        export(name, "peft", tmp_path / "out")
        return
    with pytest.raises(ModelError, match=f"after block {vector.layer} cannot be written as peft.*use BASE") as caught:
        export(name, "peft", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "out").iterdir())


def test_what_is_no_vector(tiny_base, tmp_path):
    base, vector = tiny_base("llama"), SteeringVector(5, torch.zeros(32))
    vector.save(tmp_path / "deep")
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    for name, message in (
        (base, "expected one steering vector"),
        (f"{base}+{tmp_path / 'lora'}", "holds no steering vector"),
        (f"{base}+{tmp_path / 'none'}", "no such folder"),
        (f"{base}+{tmp_path / 'deep'}", "blocks 0 to 1"),
    ):
        with pytest.raises(ModelError, match=message):
            export(name, "peft", tmp_path / "out")
