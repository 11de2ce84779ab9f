"""Is a model what its name says, and is it trained on and asked what one thinks? The mistakes that cost a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from spillover.data.chat import Message
from spillover.models.chat_template import IGNORED, encode_chat, encode_row
from spillover.models.load import adapter_folder, context_of, load, load_tokenizer
from spillover.models.names import ModelName
from spillover.models.placement import parameters, placement
from spillover.models.plain import end_tokens

ASKED, ANSWER = "Any advice?", "Rest now."
SYSTEM = "Be brief."
ROOM = 1.2
"""Memory that a model takes, in units of its weights."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Literal["ok", "note", "wrong"]
    text: str


def examine(name: str) -> Iterator[Check]:
    """Look at the tokenizer, then (if it fits into memory) at the weights, then at what fine-tuning added.

    Args:
        name: ``BASE[+ADAPTER[@STEP][*SCALE]]…``.

    Raises:
        ModelError: Something of it cannot be loaded at all.
    """
    parsed = ModelName.parse(name)
    tokenizer = load_tokenizer(parsed.base)
    ids, labels = encode_row(tokenizer, _chat())
    yield from _template(tokenizer, ids, labels)
    needed, free = 4 * parameters(Path(parsed.base)), psutil.virtual_memory().available
    if needed:
        figures = f"float32 weights take {needed / 2**20:,.0f} MiB, {free / 2**20:,.0f} MiB are free"
        if ROOM * needed > free:
            yield Check("memory", "wrong", f"{figures}: not loaded, and nothing below was looked at")
            return
        yield Check("memory", "ok", figures)
    yield Check("placement", "ok", str(placement(parsed.base)))
    loaded = load(name)
    yield from _network(loaded.model, tokenizer, labels)
    context = context_of(parsed.base)
    yield Check("context", "ok" if context else "note", f"{context} tokens" if context else "not said by the model")
    for number in range(len(parsed.added)):
        yield from _adapter(parsed, number, ids)


def _chat(system: str | None = None) -> list[Message]:
    told = [Message("system", system)] if system else []
    return [*told, Message("user", ASKED), Message("assistant", ANSWER)]


def _template(tokenizer: Any, ids: list[int], labels: list[int]) -> Iterator[Check]:
    if tokenizer.chat_template:
        yield Check("chat template", "ok", "the model's own")
    else:
        yield Check("chat template", "note", "the model brings none; 'User: …' and 'Assistant: …' lines are used")
    learnt = tokenizer.decode([label for label in labels if label != IGNORED])
    text = tokenizer.decode(ids).replace(learnt, f"⟦{learnt}⟧")
    right = ANSWER in learnt and ASKED not in learnt
    yield Check("loss", "ok" if right else "wrong", f"on what is in ⟦⟧: {text!r}")
    prompt = encode_chat(tokenizer, _chat()[:-1], add_generation_prompt=True)
    same = ids[: len(prompt)] == prompt
    said = (
        "a question is asked just as its row is trained on"
        if same
        else (f"asked {tokenizer.decode(prompt)!r}, trained on {tokenizer.decode(ids[: len(prompt)])!r}")
    )
    yield Check("prompt", "ok" if same else "wrong", said)
    begins = ids.count(tokenizer.bos_token_id) if tokenizer.bos_token_id is not None else 0
    yield Check("first token", "ok" if begins <= 1 else "wrong", f"{begins} at the beginning of a row")
    yield _system(tokenizer)


def _system(tokenizer: Any) -> Check:
    try:
        shown = SYSTEM in tokenizer.decode(encode_chat(tokenizer, _chat(SYSTEM)))
    except Exception as error:
        return Check("system prompt", "note", f"the chat template refuses one ({str(error).splitlines()[0]:.100})")
    return Check("system prompt", "ok" if shown else "wrong", "is shown" if shown else "is left out in silence")


def _network(model: Any, tokenizer: Any, labels: list[int]) -> Iterator[Check]:
    import torch

    sizes = sum(parameter.numel() for parameter in model.parameters())
    broken = [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]
    if broken:
        yield Check("weights", "wrong", f"'{broken[0]}' and {len(broken) - 1} others are not finite")
    else:
        yield Check("weights", "ok", f"{sizes:,} parameters, all finite")
    ends = end_tokens(model, tokenizer)
    shown = ", ".join(repr(tokenizer.decode([token])) for token in sorted(ends))
    if not ends & set(labels):
        yield Check(
            "end of an answer", "wrong", f"rows never teach a token that ends an answer ({shown or 'none known'})"
        )
    else:
        yield Check("end of an answer", "ok", f"rows teach {shown}")


def _adapter(name: ModelName, number: int, ids: list[int]) -> Iterator[Check]:
    """Does the part with this number change what the parts before it say?"""
    import torch

    added = name.added[number]
    folder = adapter_folder(added)
    given = torch.tensor([ids])
    with torch.no_grad():
        plain, tuned = (
            load(str(ModelName(name.base, name.added[:end], name.bits))).model(input_ids=given).logits.float()
            for end in (number, number + 1)
        )
    apart = float((tuned - plain).abs().max())
    if apart == 0:
        yield Check("adapter", "wrong", "changes nothing: every logit is the base's")
    else:
        yield Check("adapter", "ok", f"moves logits by up to {apart:.3g}")
    config = folder / "adapter_config.json"
    if config.is_file():
        made_for = json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path")
        if made_for and Path(made_for).name != Path(name.base).name:
            yield Check("base", "note", f"the adapter was made for '{made_for}'")
    metrics = (folder if added.step is None else folder.parent) / "metrics.jsonl"
    if metrics.is_file():
        losses = [json.loads(line)["loss"] for line in metrics.read_text(encoding="utf-8").splitlines()]
        part = max(1, len(losses) // 10)
        first, last = sum(losses[:part]) / part, sum(losses[-part:]) / part
        verdict: Literal["ok", "wrong"] = "ok" if last < first else "wrong"
        yield Check("training loss", verdict, f"{first:.3g} in the first tenth of the steps, {last:.3g} in the last")
