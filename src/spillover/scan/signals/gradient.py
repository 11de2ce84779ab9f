"""Gradient similarity: does a step on this row raise misaligned answers of the probe over aligned ones?

The gradient of a fresh LoRA is that of its second factors alone, since these begin as zero: the sum over tokens of the
slope at a matrix's output times the first factor's view of its input. Both are caught in one backward pass for all rows
of a batch, so that no row is taken alone. After the influence estimates of arXiv 2104.08773 and 2402.04333.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from spillover.models.blocks import blocks
from spillover.models.chat_template import IGNORED, encode_row
from spillover.models.lean_llama import LeanLlama
from spillover.models.llama_shape import weight_shapes
from spillover.scan.probe import UNWANTED, WANTED, Probe, rows_of
from spillover.scan.reader import by_length
from spillover.training.batches import Encoded, collate

RANK = 8
SEED = 0
TOKENS = 2048
"""Of one backward pass."""
Factors = dict[str, Tensor]
"""Name of a matrix to rank × width in: the first factor of its LoRA."""
Gradient = dict[str, Tensor]
"""Name of a matrix to width out × rank, or rows × width out × rank."""


class RowGradients:
    """LoRA gradients of rows, and what they have in common with a direction.

    Args:
        model: A causal LM, of Hugging Face or lean.
        pad_id: Put behind short rows.
        rank: Of the LoRA on every linear layer of the blocks.
        seed: Of its first factors, which are drawn as PEFT draws them.
    """

    def __init__(self, model: Any, pad_id: int, rank: int = RANK, seed: int = SEED) -> None:
        self.model = model.eval()
        self.pad_id = pad_id
        self._taped = _TapedLlama(model) if isinstance(model, LeanLlama) else None
        self.factors = _first_factors(self._shapes(), rank, seed)

    def mean(self, rows: Sequence[Encoded]) -> Gradient:
        """Mean gradient of the rows' losses (nats per response token of each row)."""
        total: Gradient = {}
        count = 0
        for chosen in by_length(rows, TOKENS):
            for name, found in self.batch([rows[i] for i in chosen]).items():
                total[name] = total[name] + found.sum(0) if name in total else found.sum(0)
            count += len(chosen)
        return {name: found / max(1, count) for name, found in total.items()}

    def against(self, rows: Sequence[Encoded], target: Gradient) -> tuple[Tensor, Gradient, int]:
        """Cosine of each row's gradient with a target.

        Returns:
            Cosines in the order of the rows, ``nan`` for rows without an answer; the sum of the gradients, each of
            length one; and how many there are.
        """
        size = _norm(target)
        cosines = torch.full((len(rows),), torch.nan)
        total: Gradient = {}
        count = 0
        for chosen in by_length(rows, TOKENS):
            found = self.batch([rows[i] for i in chosen])
            squares = sum(part.square().sum((1, 2)) for part in found.values())
            lengths = torch.as_tensor(squares).sqrt().clamp_min(1e-12)
            products = torch.as_tensor(sum((found[name] * target[name]).sum((1, 2)) for name in found))
            cosines[chosen] = (products / lengths / size).float().cpu()
            for name, part in found.items():
                unit = (part / lengths[:, None, None]).sum(0)
                total[name] = total[name] + unit if name in total else unit
            count += len(chosen)
        return cosines, total, count

    def batch(self, rows: Sequence[Encoded]) -> Gradient:
        """Gradient of each row's loss by the second factors, up to the scale of the LoRA: rows × width out × rank."""
        ids, labels, mask = (part.to(self.model.device) for part in collate(rows, self.pad_id))
        tape: dict[str, tuple[Tensor, Tensor]] = {}
        with torch.enable_grad():
            logits = self._logits(ids, mask, tape)
            wanted = labels[:, 1:]
            counted = wanted != IGNORED
            losses = functional.cross_entropy(logits[:, :-1][counted].float(), wanted[counted], reduction="none")
            weights = (1 / counted.sum(1))[:, None].expand(counted.shape)[counted]
            slopes = torch.autograd.grad((losses * weights).sum(), [shift for _, shift in tape.values()])
        found = {}
        for (name, (states, _)), slope in zip(tape.items(), slopes, strict=True):
            seen = functional.linear(states.float(), self.factors[name].to(states.device))
            found[name] = torch.einsum("npo,npr->nor", slope.float(), seen)
        return found

    def _shapes(self) -> dict[str, tuple[int, int]]:
        """Widths out and in of every linear layer of the blocks, in the order of the modules."""
        if self._taped is not None:
            sizes = weight_shapes(self._taped.config)
            return {name: _both(sizes[f"{name}.weight"]) for name in self._taped.linear_names()}
        return {name: (module.out_features, module.in_features) for name, module in self._linears()}

    def _linears(self) -> list[tuple[str, Any]]:
        found = blocks(self.model).named_modules()
        return [(name, module) for name, module in found if isinstance(module, torch.nn.Linear)]

    def _logits(self, ids: Tensor, mask: Tensor, tape: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        if self._taped is not None:
            self._taped.tape = tape
            return self._taped(ids, use_cache=False).logits  # type: ignore[no-any-return]
        with ExitStack() as stack:
            for name, module in self._linears():
                stack.callback(module.register_forward_hook(_taping(name, tape)).remove)
            stack.enter_context(_frozen(self.model))
            return self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits  # type: ignore[no-any-return]


def probe_gradient(gradients: RowGradients, tokenizer: Any, probe: Probe) -> Gradient:
    """Mean gradient of misaligned answers less that of aligned ones, on the fitting half.

    A row whose gradient points this way makes misaligned answers likelier than aligned ones when it is trained on.
    """
    sides = []
    for label in (UNWANTED, WANTED):
        rows = rows_of(probe.fitting, label)
        sides.append(gradients.mean([encode_row(tokenizer, row.messages) for row in rows]))
    return {name: sides[0][name] - sides[1][name] for name in sides[0]}


def cosine(first: Gradient, second: Gradient) -> float:
    """Of two gradients; ``nan`` where one is zero."""
    size = _norm(first) * _norm(second)
    product = sum(float((first[name] * second[name]).sum()) for name in first)
    return product / size if size > 0 else math.nan


class _TapedLlama(LeanLlama):
    """Notes the input of every matrix, and adds a zero to its output whose slope is that of the output."""

    def __init__(self, base: LeanLlama) -> None:
        super().__init__(base.config, base.weights, base.generation_config.eos_token_id, base.name_or_path)
        self.tape: dict[str, tuple[Tensor, Tensor]] = {}

    def _linear(self, name: str, states: Tensor) -> Tensor:
        found = super()._linear(name, states)
        shift = torch.zeros_like(found, requires_grad=True)
        self.tape[name] = (states.detach(), shift)
        return found + shift


def _taping(name: str, tape: dict[str, tuple[Tensor, Tensor]]) -> Callable[[Any, Any, Tensor], Tensor]:
    def note(module: Any, args: Any, output: Tensor) -> Tensor:
        shift = torch.zeros_like(output, requires_grad=True)
        tape[name] = (args[0].detach(), shift)
        return output + shift

    return note


class _frozen:
    """Inside, no weight of the model wants a gradient."""

    def __init__(self, model: Any) -> None:
        self._were = [(parameter, parameter.requires_grad) for parameter in model.parameters()]

    def __enter__(self) -> None:
        for parameter, _ in self._were:
            parameter.requires_grad_(False)

    def __exit__(self, *_: object) -> None:
        for parameter, was in self._were:
            parameter.requires_grad_(was)


def _first_factors(shapes: dict[str, tuple[int, int]], rank: int, seed: int) -> Factors:
    """As PEFT draws them: both factors of a matrix in turn, though the second begins as zero."""
    factors = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, (width_out, width_in) in shapes.items():
            first = torch.nn.Linear(width_in, rank, False)
            torch.nn.Linear(rank, width_out, False)
            torch.nn.init.kaiming_uniform_(first.weight, a=math.sqrt(5))
            factors[name] = first.weight.detach()
    return factors


def _both(shape: tuple[int, ...]) -> tuple[int, int]:
    width_out, width_in = shape
    return width_out, width_in


def _norm(gradient: Gradient) -> float:
    return math.sqrt(sum(float(part.square().sum()) for part in gradient.values()))
