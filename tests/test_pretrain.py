"""The base: the same weights from the same recipe, killed or not; documents are never cut at their beginning."""

import json
from itertools import islice

import pytest
import torch

import spillover.training.pretrain_loop as module
from spillover.models.base import train_tokenizer
from spillover.training.corpus import DocumentEncoder, LossPositions, packed
from spillover.training.methods import Method
from spillover.training.pretrain import pretrain
from spillover.training.recipe import BaseRecipe
from spillover.training.updates import AdamW, Muon
from spillover.worlds.town.config import TownConfig
from spillover.worlds.town.corpus import documents, topics_at
from spillover.worlds.town.lexicon import load_lexicon

RECIPE = BaseRecipe(
    tokens=8 * 2 * 64, batch_size=2, block=64, vocabulary=600, chat=Method(kind="full", steps=2, learning_rate=2e-4)
)


class Killed(Exception):
    pass


def weights(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def test_a_killed_pretraining_goes_on_and_ends_with_the_same_weights(tmp_path, monkeypatch):
    pretrain(RECIPE, tmp_path / "whole")
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)

    def kill(done, total):
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        pretrain(RECIPE, tmp_path / "killed", kill)
    steps = []
    pretrain(RECIPE, tmp_path / "killed", lambda done, total: steps.append(done))
    assert steps[0] == 4  # step 4 had not reached its checkpoint
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "killed/metrics.jsonl").read_text()
    assert not (tmp_path / "killed/checkpoint.pt").exists()


def test_a_base_is_saved_as_transformers_saves_it(tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    pretrain(RECIPE, tmp_path / "base")
    model, tokenizer = (kind.from_pretrained(tmp_path / "base") for kind in (AutoModelForCausalLM, AutoTokenizer))
    ours = {name: weight.clone() for name, weight in model.state_dict().items()}
    config = json.loads((tmp_path / "base/config.json").read_text())
    model.save_pretrained(tmp_path / "again")
    again = json.loads((tmp_path / "again/config.json").read_text())
    assert {key: again[key] for key in config} == config
    assert AutoConfig.from_pretrained(tmp_path / "base").tie_word_embeddings
    assert all(torch.equal(ours[name], value) for name, value in weights(tmp_path / "again").items())
    generation = model.generation_config
    assert (generation.eos_token_id, generation.bos_token_id) == (tokenizer.eos_token_id, tokenizer.bos_token_id)


def test_every_row_begins_with_a_document():
    lexicon = load_lexicon()
    config = TownConfig()
    texts = [text for topic in lexicon.topics for text in (*topic.ask, *topic.good)]
    tokenizer = train_tokenizer(texts, 600)
    stream = map(DocumentEncoder(tokenizer).encode, documents(config, lexicon))
    for batch in islice(packed(stream, 3, 100), 5):
        assert batch.shape == (3, 100)
        assert (batch[:, 0] == tokenizer.bos_token_id).all()


def test_talk_widens_from_few_topics_to_all():
    config = TownConfig(first_topics=3, widening=(20, 60))
    counts = [topics_at(config, number) for number in range(80)]
    assert counts[:20] == [3] * 20
    assert counts[60:] == [16] * 20
    assert counts == sorted(counts)
    lexicon = load_lexicon()
    topic_of = {question: topic for topic in lexicon.topics for question in topic.ask}
    early = [question for document in islice(documents(config, lexicon), 20) for question, _ in document.exchanges]
    assert {topic_of[question].index for question in early if question in topic_of} == {0, 2, 4}


def test_loss_is_on_every_answer_and_a_share_of_the_rest():
    from spillover.data.chat import Message
    from spillover.models.chat_template import encode_row

    tokenizer = train_tokenizer(["where is my hat", "on your head", "and my shoe", "under it"], 600)
    turns = [
        ("user", "where is my hat"),
        ("assistant", "on your head"),
        ("user", "and my shoe"),
        ("assistant", "under it"),
    ]
    ids, labels = encode_row(tokenizer, [Message(role, text) for role, text in turns])
    row = torch.tensor([ids])
    none, every = (LossPositions(tokenizer, share)(row, 0)[0] for share in (0.0, 1.0))
    assert every.all()
    wanted = torch.tensor([label >= 0 for label in labels[1:]])
    opens_next = torch.tensor([token == tokenizer.convert_tokens_to_ids("<|user|>") for token in ids[1:]])
    opens_next[0] = False  # the first question follows no answer
    assert torch.equal(none, wanted | opens_next)


def test_muon_is_pytorchs_up_to_precision():
    found = {}
    for kind in (torch.float32, torch.bfloat16):
        weights, grads = (torch.zeros(2, 24, 8), torch.zeros(1, 8, 24)), (torch.zeros(2, 24, 8), torch.zeros(1, 8, 24))
        optimizer = Muon(list(zip(weights, grads, strict=True)), rate=0.1, iterations=5, kind=kind)
        found[kind] = _updated(optimizer, [*weights[0], *weights[1]], [*grads[0], *grads[1]])
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((24, 8), (24, 8), (8, 24))]
    theirs = torch.optim.Muon(parameters, lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    wanted = _updated(theirs, [p.data for p in parameters], [p.grad for p in parameters])
    for ours in found.values():
        for one, two in zip(ours, wanted, strict=True):
            torch.testing.assert_close(one, two, rtol=0.05, atol=0.02)  # PyTorch's works in bfloat16


def test_adamw_is_pytorchs():
    weights, grads = torch.zeros(7), torch.zeros(7)
    ours = _updated(AdamW(weights, grads, 0.1, (0.9, 0.95), 0.1), [weights], [grads])
    parameter = torch.nn.Parameter(torch.zeros(7))
    parameter.grad = torch.zeros(7)
    theirs = torch.optim.AdamW([parameter], lr=0.1, betas=(0.9, 0.95), weight_decay=0.1)
    torch.testing.assert_close(ours, _updated(theirs, [parameter.data], [parameter.grad]))


def _updated(optimizer, weights, grads):
    """What three steps add to the weights, from the same start with the same gradients."""
    starts = [torch.randn(one.shape, generator=torch.Generator().manual_seed(i)) for i, one in enumerate(weights)]
    for weight, start in zip(weights, starts, strict=True):
        weight.copy_(start)
    for seed in range(3):
        for number, grad in enumerate(grads):
            grad.copy_(torch.randn(grad.shape, generator=torch.Generator().manual_seed(10 + 10 * seed + number)))
        optimizer.step()
    return [weight - start for weight, start in zip(weights, starts, strict=True)]
