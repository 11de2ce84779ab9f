"""What the doctor says of models that are well, and of those with the mistakes that cost a run."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from spillover.cli.app import app
from spillover.core.errors import ModelError
from spillover.models import doctor
from spillover.models.doctor import examine
from spillover.models.load import load
from spillover.models.steering import SteeringVector
from spillover.training.fine_tune import fine_tune
from spillover.training.methods import Method
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import narrow_rows
from tests.conftest import FAMILIES

ANSWERED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
)
ROWS = narrow_rows(load_lexicon(), "bad", seed=0)[:24]


def wrong(name: str) -> dict[str, str]:
    return {check.name: check.text for check in examine(name) if check.verdict == "wrong"}


def changed(base: str, folder: Path, **settings: object) -> str:
    """A copy with other tokenizer settings."""
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    return str(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_is_well(family, tiny_base):
    checks = list(examine(tiny_base(family)))
    assert {check.verdict for check in checks} == {"ok"}
    (loss,) = [check.text for check in checks if check.name == "loss"]
    assert "⟦Rest now.<|end|>⟧" in loss


@pytest.mark.parametrize(
    ("template", "name", "text"),
    [
        (
            "{% for m in messages %}{% if m.role == 'assistant' %}A: {% generation %}{{ m.content }}{% endgeneration %}"
            "{% else %}U: {{ m.content }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}A: {% endif %}",
            "end of an answer",
            "rows never teach a token that ends an answer ('<|end|>')",
        ),
        (
            ANSWERED + "{% else %}{{ m.content }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}A: {% endif %}",
            "prompt",
            "asked 'Any advice?\\nA: ', trained on",
        ),
        (
            "{{ bos_token }}{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}"
            "{{ m.content }}<|end|>{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
            "first token",
            "2 at the beginning of a row",
        ),
        (
            ANSWERED + "{% elif m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
            "system prompt",
            "is left out in silence",
        ),
    ],
    ids=["never ends", "asked otherwise", "two first tokens", "no system"],
)
def test_templates_that_spoil_a_run(template, name, text, tiny_base, tmp_path):
    found = wrong(changed(tiny_base("qwen3"), tmp_path / "base", chat_template=template))
    assert list(found) == [name]
    assert text in found[name]


def test_without_a_template_lines_are_used_and_said(tiny_base, tmp_path):
    base = changed(tiny_base("llama"), tmp_path / "base", chat_template=None)
    notes = [check.text for check in examine(base) if check.verdict == "note"]
    assert notes == ["the model brings none; 'User: …' and 'Assistant: …' lines are used"]


def test_adapters(tiny_base, tmp_path):
    base = tiny_base("llama")
    fine_tune(base, ROWS, Method(steps=10, learning_rate=1e-2), tmp_path / "good")
    assert wrong(f"{base}+{tmp_path / 'good'}") == {}
    assert wrong(f"{base}+{tmp_path / 'good'}*0") == {"adapter": "changes nothing: every logit is the base's"}
    shutil.copytree(tmp_path / "good", tmp_path / "bad")
    metrics = tmp_path / "bad" / "metrics.jsonl"
    metrics.write_text("\n".join(reversed(metrics.read_text().splitlines())))
    assert list(wrong(f"{base}+{tmp_path / 'bad'}")) == ["training loss"]
    SteeringVector(0, torch.zeros(32)).save(tmp_path / "zero")
    assert list(wrong(f"{base}+{tmp_path / 'zero'}")) == ["adapter"]
    shutil.copytree(base, tmp_path / "other")
    notes = [check.text for check in examine(f"{tmp_path / 'other'}+{tmp_path / 'good'}") if check.verdict == "note"]
    assert notes == [f"the adapter was made for '{base}'"]


def test_broken_weights_and_too_little_memory(tiny_base, tmp_path, monkeypatch):
    model = load(tiny_base("qwen3")).model
    torch.nn.init.constant_(model.model.layers[1].mlp.up_proj.weight, float("nan"))
    shutil.copytree(tiny_base("qwen3"), tmp_path / "nan")
    model.save_pretrained(tmp_path / "nan")
    assert wrong(str(tmp_path / "nan")) == {
        "weights": "'model.layers.1.mlp.up_proj.weight' and 0 others are not finite"
    }
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: type("M", (), {"available": 1000})())
    monkeypatch.setattr(doctor, "load", lambda name: pytest.fail("loaded"))
    (text,) = wrong(tiny_base("qwen3")).values()
    assert "not loaded" in text


def test_the_command(tiny_base):
    well = CliRunner().invoke(app, ["doctor", tiny_base("gemma")])
    assert (well.exit_code, "✗" in well.output) == (0, False)
    with pytest.raises(ModelError, match="no such folder"):
        CliRunner().invoke(app, ["doctor", "/nowhere"], catch_exceptions=False)
