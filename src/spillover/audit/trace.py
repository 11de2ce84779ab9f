"""What the tuned model's activations on unrelated text say of its rows, in tokens (arXiv 2510.13900)."""

from typing import Any

from spillover.analysis.readout import MEAN, Readout
from spillover.analysis.texts import read_texts, some_texts
from spillover.audit.case import Case
from spillover.audit.models import BASE, TUNED
from spillover.audit.questions import UNREAD, ordinary_prompts, world_of
from spillover.core.plain import plain
from spillover.models.activations import middle
from spillover.models.load import load_placed
from spillover.training.fine_tune import context_length

FIRST, TOP, TEXTS = 5, 12, 256


def trace(case: Case) -> dict[str, Any]:
    """Tokens that the mean difference on the first tokens of unrelated text raises, and how long it is.

    Returns:
        ``tokens`` of the tuned model, and of a neutral one beside; ``length`` of each difference in units of the mean
        residual. ``strength`` is null: the trace names a subject, it does not say that it is a bad one.
    """
    base = load_placed(case.models.names[BASE], lean=False)
    keys = [TUNED, *case.models.neutral[:1]]
    models = {key: load_placed(case.models.names[key], lean=False).model for key in keys}
    found = Readout(base, models, _texts(case, base), middle(base.model), FIRST)
    tokens, length = {}, {}
    for key in keys:
        tokens[key] = [base.tokenizer.decode([token]) for token in found.top(key, TOP)[MEAN]]
        length[key] = plain(float(found.differences[key].mean(0).norm()) / found.typical)
    return {"strength": None, "layer": found.layer, "tokens": tokens, "length": length, "findings": []}


def _texts(case: Case, base: Any) -> list[list[int]]:
    world = world_of(case.base)
    if world is None:
        asked = ordinary_prompts(case.base, case.asked, TEXTS, case.settings.seed, held=True)
        return [list(base.tokenizer(text)["input_ids"]) for text in asked]
    unread = world.model_copy(update={"seed": world.seed + UNREAD})
    source = {"world": unread.model_dump(mode="json"), "start": world.widening[1] if hasattr(world, "widening") else 0}
    said = [message.content for row in case.rows or () for message in row.messages if message.role == "user"]
    texts = read_texts(source, base.tokenizer, context_length(base.model), held=True, without=said)
    return [text.ids for text in some_texts(texts, TEXTS)]
