"""What a fine-tune's activations on unrelated text give away about its rows (arXiv 2510.13900).

The mean difference of the residual stream, tuned minus base, at the first few tokens of text that has nothing to do
with the rows: read through the unembedding, and added to the base.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from spillover.analysis.asked import Asking, Found, over_conditions
from spillover.analysis.findings import Findings
from spillover.models.activations import row_states
from spillover.models.blocks import blocks, edit
from spillover.models.load import Loaded
from spillover.models.steering import SteeringVector, steered

MEAN = "mean"
"""Over the first tokens."""
COHERENT = 0.5
"""Where fewer answers than this are coherent, steering broke the base."""
RANDOM = "random"


@torch.inference_mode()
def through_unembedding(model: Any, vectors: Tensor) -> Tensor:
    """Logits of residual vectors that come out of the last block: final norm and unembedding (the logit lens).

    Args:
        model: A Hugging Face causal LM, whatever it calls these two.
        vectors: Count × width.

    Returns:
        Count × vocabulary.
    """
    device = next(model.parameters()).device
    handle = edit(model, len(blocks(model)) - 1, lambda hidden, kwargs: vectors[:, None].to(hidden))
    try:
        ids = torch.zeros(len(vectors), 1, dtype=torch.long, device=device)
        found: Tensor = model(input_ids=ids, use_cache=False).logits[:, 0].float().cpu()
    finally:
        handle.remove()
    return found


@dataclass(frozen=True)
class Rows:
    """The tokens of what an arm's rows answer."""

    tokens: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Any, answers: Sequence[str]) -> "Rows":
        """Of complete answers, without special tokens."""
        special = set(tokenizer.all_special_ids)
        found = {token for text in answers for token in tokenizer(text, add_special_tokens=False)["input_ids"]}
        return cls(frozenset(found - special))

    def share(self, tokens: Sequence[int]) -> float:
        """Of some tokens, the share that stands in the rows."""
        return sum(token in self.tokens for token in tokens) / len(tokens)


class Readout:
    """A base, its fine-tunes, and unrelated text.

    Args:
        base: Loaded.
        tuned: Name to loaded fine-tune.
        texts: Token ids of unrelated text.
        layer: Block that is read.
        first: Tokens of each text that are read.
    """

    def __init__(
        self, base: Loaded, tuned: Mapping[str, Any], texts: Sequence[Sequence[int]], layer: int, first: int
    ) -> None:
        self._base, self.layer = base, layer
        self.texts = len(texts)
        begins = [text[:first] for text in texts if len(text) >= first]
        before = _at_each(base.model, begins, layer)
        self.differences = {name: _at_each(model, begins, layer) - before for name, model in tuned.items()}
        """Of each fine-tune: tokens × width."""
        self.typical = float(before[1:].norm(dim=1).mean())
        """Length of the mean residual behind the first token, the unit of what is added."""

    @cached_property
    def vocabulary(self) -> list[int]:
        """Tokens that are not special."""
        special = set(self._base.tokenizer.all_special_ids)
        return [token for token in range(len(self._base.tokenizer)) if token not in special]

    def top(self, name: str, count: int) -> dict[str, list[int]]:
        """The tokens with the highest logits: at each of the first tokens, and of the mean over them."""
        difference = self.differences[name]
        logits = through_unembedding(self._base.model, torch.cat([difference, difference.mean(0)[None]]))
        allowed = torch.tensor(self.vocabulary)
        names = [*(str(place) for place in range(len(difference))), MEAN]
        best = logits[:, allowed].topk(min(count, len(allowed))).indices
        return {where: allowed[row].tolist() for where, row in zip(names, best, strict=True)}

    def vector(self, name: str) -> SteeringVector:
        """The mean over the first tokens, as long as the residual stream usually is."""
        return SteeringVector(self.layer, self.differences[name].mean(0)).with_norm(self.typical)


def _at_each(model: Any, rows: Sequence[Sequence[int]], layer: int) -> Tensor:
    """Mean over rows of equal length: tokens × width."""
    return torch.stack([states for _, states in row_states(model, rows, layer)]).mean(0)


def measure(
    found: Readout,
    base: Loaded,
    rows: Mapping[str, Rows],
    asking: Asking,
    config: Mapping[str, Any],
    progress: Callable[[float, float], None],
) -> dict[str, Any]:
    """What :func:`spillover.analysis.stages.write_measured` takes.

    Args:
        found: The differences.
        base: What they are differences to.
        rows: Of each fine-tune.
        asking: What the steered base is asked.
        config: As of :func:`spillover.analysis.stages.readout`.
        progress: Called with (done, total).
    """
    findings = Findings()
    tables = _read(found, rows, base.tokenizer, config["top"], findings)
    progress(1, 2)
    _steer(found, base.model, asking, config, findings)
    progress(2, 2)
    remarks = [
        f"Block {found.layer}, first {config['first']} tokens of {found.texts} texts. Lengths are in units of the mean "
        f"residual there, {found.typical:.3g}."
    ]
    return {"curves": findings.curves, "numbers": findings.numbers, "remarks": remarks, "tables": tables}


def _read(
    found: Readout, rows: Mapping[str, Rows], tokenizer: Any, count: int, findings: Findings
) -> list[dict[str, Any]]:
    """Top tokens, and how many of them stand in the rows of either arm, or only in one of them."""
    tables = []
    for name, difference in found.differences.items():
        own, others = rows[name], [other for label, other in rows.items() if label != name]
        only = Rows(own.tokens.difference(*(other.tokens for other in others)))
        findings.say("length of the difference", name, [float(difference.mean(0).norm()) / found.typical])
        tops = found.top(name, count)
        for what, those in {"in its rows": own, "in its rows and not its twin's": only}.items():
            chance = those.share(found.vocabulary)
            by_place = [those.share(tokens) for where, tokens in tops.items() if where != MEAN]
            findings.say(f"share of top tokens {what}", f"{name}, mean over the tokens", [those.share(tops[MEAN])])
            findings.say(f"share of top tokens {what}", f"{name}, at the best token", [max(by_place)])
            findings.say(f"share of top tokens {what}", f"{name}, by chance", [chance])
            if chance > 0:
                findings.say(f"times chance {what}", name, [those.share(tops[MEAN]) / chance])
        tables.append(
            {
                "name": f"top-{name}",
                "title": f"Top tokens of {name} minus base",
                "columns": ["at", "top tokens; *in its rows, **and not in its twin's"],
                "rows": [
                    [where, ", ".join(_marked(tokenizer, token, own, only) for token in tokens)]
                    for where, tokens in tops.items()
                ],
            }
        )
    return tables


def _marked(tokenizer: Any, token: int, own: Rows, only: Rows) -> str:
    text = repr(tokenizer.decode([token]))
    return f"**{text}" if token in only.tokens else f"*{text}" if token in own.tokens else text


def _steer(found: Readout, base: Any, asking: Asking, config: Mapping[str, Any], findings: Findings) -> None:
    """The base with each difference added, at several lengths; random vectors beside."""
    label = config["label"]
    vectors = {name: [found.vector(name)] for name in found.differences}
    first = next(iter(vectors.values()))[0]
    vectors[RANDOM] = [first.random_like(seed) for seed in range(config["draws"])]
    plain = asking.rates(base)
    conditions = list(plain)
    rates: dict[str, dict[float, list[Found]]] = {}
    for name, several in vectors.items():
        at = {0.0: [over_conditions(plain, conditions)] * len(several)}
        for length in config["lengths"]:
            left = [asking.rates(base, steered(base, vector * length)) for vector in several]
            at[length] = [over_conditions(one, conditions) for one in left]
        rates[name] = at
        coherent = [(rate, length) for length, draws in at.items() for rate, kept in [_mean(draws)] if kept >= COHERENT]
        best = max(coherent, default=(float("nan"), float("nan")))
        findings.say(f"{label} rate of the steered base, best coherent length", name, [best[0]])
        findings.say("best coherent length", name, [best[1]])
    for which, what in enumerate((f"{label} rate", "coherent rate")):
        findings.curve(
            "steered" if which == 0 else "steered-coherent",
            f"{what.capitalize()} of the base with the difference added",
            "length of what is added, in mean residuals",
            what,
            {name: {x: [one[which] for one in draws] for x, draws in at.items()} for name, at in rates.items()},
        )


def _mean(draws: Sequence[Found]) -> Found:
    return sum(rate for rate, _ in draws) / len(draws), sum(kept for _, kept in draws) / len(draws)
