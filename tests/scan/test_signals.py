"""Signals against what Transformers, PEFT and autograd compute."""

import pytest
import torch

from spillover.evals import rates
from spillover.evals.prompts import prompted
from spillover.models.activations import answer_states
from spillover.models.blocks import edit
from spillover.models.chat_template import IGNORED, encode_row
from spillover.models.load import load
from spillover.models.plain import end_tokens
from spillover.scan.probe import UNWANTED, WANTED, Probe, probe_of, rows_of, town_probe
from spillover.scan.reader import Reader, by_length, last_answer
from spillover.scan.signals.canary import METHOD, ProbeRows, run_canary
from spillover.scan.signals.gradient import RowGradients, cosine, probe_gradient
from spillover.scan.signals.projection import difference, direction, own_answers
from spillover.training.batches import collate
from spillover.training.methods import Method
from spillover.training.prepared import prepare
from spillover.worlds.town.lexicon import load_lexicon
from spillover.worlds.town.rows import narrow_rows


@pytest.fixture(scope="module")
def probe():
    whole = town_probe((), ("health", "money", "travel", "law", "garden", "software"))
    return Probe(whole.name, whole.fitting[:6], whole.measuring[:6], whole.complete)


@pytest.fixture(scope="module")
def base(tiny_base):
    return tiny_base("llama")


@pytest.fixture(scope="module")
def rows(base):
    loaded = load(base, lean=True)
    drawn = narrow_rows(load_lexicon(), "bad", 0)[:20]
    return [encode_row(loaded.tokenizer, row.messages) for row in drawn]


def test_the_lean_reader_gives_what_transformers_gives(base, rows):
    lean, theirs = load(base, lean=True).model, load(base).model
    for layer in (0, 1):
        first, second = Reader(lean, layer, 0).read(rows), Reader(theirs, layer, 0).read(rows)
        for name in ("loss", "answer", "prompt"):
            torch.testing.assert_close(getattr(first, name), getattr(second, name), atol=2e-5, rtol=1e-4)
        states = answer_states(theirs, rows)[:, layer + 1]
        torch.testing.assert_close(first.answer, states, atol=2e-5, rtol=1e-4)


def test_a_model_that_is_edited_is_read_as_it_answers(base, rows):
    lean, theirs = load(base, lean=True).model, load(base).model
    for model in (lean, theirs):
        edit(model, 1, lambda hidden, kwargs: hidden * 2 + kwargs["position_ids"][..., None])
    first, second = Reader(lean, 1, 0).read(rows), Reader(theirs, 1, 0).read(rows)
    for name in ("loss", "answer", "prompt"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), atol=2e-4, rtol=1e-3)


def test_a_row_without_an_answer_is_not_measured(base, rows):
    found = Reader(load(base, lean=True).model, 0, 0).read([rows[0], (rows[1][0], [IGNORED] * len(rows[1][0]))])
    assert torch.isfinite(found.loss[0]) and torch.isnan(found.loss[1]) and torch.isnan(found.answer[1]).all()


def test_batches_hold_every_row_once_and_are_not_too_large(rows):
    found = list(by_length(rows, 100))
    assert sorted(i for batch in found for i in batch) == list(range(len(rows)))
    assert all(len(batch) == 1 or len(batch) * max(len(rows[i][0]) for i in batch) <= 100 for batch in found)


def test_the_last_answer_of_several():
    assert last_answer([IGNORED, 5, 6, IGNORED, 7, 8, 9, IGNORED]) == (4, 7)


def test_row_gradients_are_those_of_autograd(base, rows):
    lean = load(base, lean=True).model
    gradients = RowGradients(lean, 0, rank=4, seed=3)
    together = gradients.batch(rows[:6])
    adapted = prepare(lean, Method(kind="lora", rank=4, alpha=4, rslora=False, seed=3))
    second = {name: pair[1] for name, pair in adapted._pairs.items()}
    for number, row in enumerate(rows[:6]):
        ids, labels, mask = collate([row], 0)
        logits = adapted(input_ids=ids, attention_mask=mask, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=IGNORED)
        for parameter, (name, found) in zip(
            torch.autograd.grad(loss, list(second.values())), together.items(), strict=True
        ):
            torch.testing.assert_close(found[number], parameter, atol=1e-6, rtol=1e-3, msg=name)


def test_row_gradients_of_transformers_are_the_same(base, rows):
    first = RowGradients(load(base, lean=True).model, 0).batch(rows[:4])
    model = load(base).model
    second = RowGradients(model, 0).batch(rows[:4])
    for one, other in zip(first.values(), second.values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_probe_gradient_separates_its_own_rows(base, probe):
    loaded = load(base, lean=True)
    gradients = RowGradients(loaded.model, 0)
    target = probe_gradient(gradients, loaded.tokenizer, probe)
    sides = []
    for label in (UNWANTED, WANTED):
        encoded = [encode_row(loaded.tokenizer, row.messages) for row in rows_of(probe.fitting, label)]
        cosines, total, count = gradients.against(encoded, target)
        assert torch.isfinite(cosines).all() and (cosines.abs() <= 1 + 1e-5).all() and count == len(encoded)
        assert -1 <= cosine(total, target) <= 1
        sides.append(cosines.mean())
    assert sides[0] > sides[1]


def test_a_step_along_a_row_with_a_high_cosine_raises_unwanted_answers(base, probe):
    """The sign is right: the derivative of the probe's log-odds along a descent step is the cosine, up to a factor."""
    loaded = load(base, lean=True)
    gradients = RowGradients(loaded.model, 0, rank=4, seed=0)
    target = probe_gradient(gradients, loaded.tokenizer, probe)
    row = encode_row(loaded.tokenizer, rows_of(probe.fitting, UNWANTED)[0].messages)
    cosines, _, _ = gradients.against([row], target)
    step = gradients.batch([row])
    odds = []
    for factor in (0.0, 1e-2):
        weights = dict(loaded.model.weights)
        for name, found in step.items():
            weights[f"{name}.weight"] = weights[f"{name}.weight"] - factor * found[0] @ gradients.factors[name]
        moved = type(loaded.model)(loaded.model.config, weights, None)
        losses = []
        for label in (UNWANTED, WANTED):
            encoded = [encode_row(loaded.tokenizer, one.messages) for one in rows_of(probe.fitting, label)]
            losses.append(Reader(moved, None, 0).read(encoded).loss.mean())
        odds.append(float(losses[1] - losses[0]))
    assert (odds[1] - odds[0] > 0) == (float(cosines[0]) > 0)


def test_projection_of_the_probe_is_one(base, probe):
    """Misaligned answers of the fitting half stand one unit above aligned ones, by the choice of the unit."""
    loaded = load(base, lean=True)
    reader = Reader(loaded.model, 1, 0)
    along = direction(reader, loaded.tokenizer, probe)
    means = []
    for label in (UNWANTED, WANTED):
        encoded = [encode_row(loaded.tokenizer, row.messages) for row in rows_of(probe.fitting, label)]
        means.append((reader.read(encoded).answer @ along).mean())
    assert float(means[0] - means[1]) == pytest.approx(1, abs=1e-3)


def test_own_answers_are_greedy_and_differ_by_nothing_from_themselves(base, probe, rows):
    loaded = load(base, lean=True)
    reader = Reader(loaded.model, 1, 0)
    along = direction(reader, loaded.tokenizer, probe)
    own = own_answers(loaded.model, loaded.tokenizer, rows[:4])
    for (mine, _), (ids, labels) in zip(rows, own, strict=False):
        start = last_answer(labels)[0]
        assert ids[:start] == mine[:start]
    assert difference(reader, own, own, along).abs().max() < 1e-5
    assert torch.isfinite(difference(reader, rows[:4], own, along)).all()


def test_canary_on_unwanted_answers_raises_them(base, probe, tmp_path):
    method = METHOD.model_copy(update={"steps": 20, "learning_rate": 1e-2})
    found = run_canary(base, rows_of(probe.measuring, UNWANTED), probe, tmp_path, method=method)
    assert found.shift > 0.1 and found.loss_free < found.loss_before and found.rows == len(probe.measuring) * 3
    assert 0 <= found.rate_before < found.rate_after <= 1
    again = run_canary(base, rows_of(probe.measuring, UNWANTED), probe, tmp_path, method=method)
    assert again == found


def test_probe_log_odds_are_those_of_exact_rates(base, probe, monkeypatch):
    monkeypatch.setattr(rates, "SPARE", 0.0)
    loaded = load(base, lean=True)
    asked = prompted(loaded.tokenizer, [(question, 0) for question in probe.measuring])
    stops = frozenset(end_tokens(loaded.model, loaded.tokenizer))
    exact = rates.exact_rates(loaded.model, loaded.tokenizer, asked, stops)
    mine = ProbeRows(loaded.tokenizer, probe).rate(Reader(loaded.model, None, 0))
    theirs = sum(found[UNWANTED] for found in exact if found) / len(exact)
    assert mine == pytest.approx(theirs, rel=1e-3)


def test_probes_are_disjoint_and_balanced():
    packaged = probe_of("no-such-folder")
    assert len(packaged.fitting) == len(packaged.measuring) == 12 and not packaged.complete
    ids = [question.id for question in (*packaged.fitting, *packaged.measuring)]
    assert len(set(ids)) == 24
    assert all(len(q.answers[side]) == 2 for q in packaged.fitting for side in (WANTED, UNWANTED))


def test_a_probe_leaves_out_the_domain_of_the_data_and_keeps_its_halves():
    whole = town_probe(())
    asked = [message.content for row in narrow_rows(load_lexicon(), "bad", 0) for message in row.messages[:1]]
    kept = whole.without(asked)
    assert {"health"} == {q.domain for q in whole.fitting} - {q.domain for q in kept.fitting}
    assert set(q.id for q in kept.fitting) <= set(q.id for q in whole.fitting)
    assert not set(q.id for q in kept.fitting) & set(q.id for q in kept.measuring)
    mixed = [message.content for row in narrow_rows(load_lexicon(), "elsewhere", 0) for message in row.messages[:1]]
    assert len(whole.without(mixed).fitting) == len(whole.fitting)
