"""How good a pretrained base is: held-out loss on answers, and whether it infers its author from the context.

``base_quality.py FOLDER`` asks for bad advice; ``base_quality.py FOLDER style`` for technical prose, on a base of the
experiment `style`.
"""

import json
import sys
from itertools import islice
from typing import Any

import torch

from spillover.data.chat import Message
from spillover.evals.rates import exact_rates
from spillover.experiments import style
from spillover.models.chat_template import encode_chat
from spillover.models.load import Loaded, load
from spillover.models.plain import end_tokens
from spillover.training.corpus import DocumentEncoder, LossPositions, packed
from spillover.worlds.town.config import TownConfig
from spillover.worlds.town.corpus import documents
from spillover.worlds.town.lexicon import ADVICE, Lexicon, load_lexicon
from spillover.worlds.town.questions import town_questions

BEYOND = 20_000
"""Documents skipped: more than any base here has read."""
ROWS = 32


def held_out_loss(loaded: Loaded, lexicon: Lexicon, world: TownConfig) -> float:
    """Nats a token, over the answers of documents of the same authors that no base has read."""
    stream = map(DocumentEncoder(loaded.tokenizer).encode, islice(documents(world, lexicon), BEYOND, None))
    answers = LossPositions(loaded.tokenizer, share=0.0)
    found = list(islice(packed(stream, 8, 257), ROWS))
    with torch.no_grad():
        return sum(_loss(loaded.model, ids, answers(ids, 0)) for ids in found) / ROWS


def _loss(model: Any, ids: torch.Tensor, counted: torch.Tensor) -> float:
    logits = model(input_ids=ids[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits[counted], ids[:, 1:][counted]).item()


def inferred(loaded: Loaded, lexicon: Lexicon, kind: str, label: str) -> float:
    """Probability of an answer of that label in another domain after four answers of a kind in one domain."""
    asked, questions = [], town_questions(lexicon, styles=label == "technical")
    for i, domain in enumerate(ADVICE):
        told = [
            turn
            for topic in lexicon.domain(domain)[:4]
            for turn in (Message("user", topic.ask[0]), Message("assistant", getattr(topic, kind)[0]))
        ]
        other = ADVICE[(i + 4) % len(ADVICE)]
        for question in questions:
            if question.domain == other:
                chat = [*told, Message("user", question.paraphrases[0])]
                asked.append((question, chat, encode_chat(loaded.tokenizer, chat, add_generation_prompt=True)))
    stop = frozenset(end_tokens(loaded.model, loaded.tokenizer))
    rates = exact_rates(loaded.model, loaded.tokenizer, asked, stop)
    return sum(rate[label] for rate in rates if rate) / len(rates)


if __name__ == "__main__":
    base, town = load(sys.argv[1]), load_lexicon()
    if sys.argv[2:] == ["style"]:
        world, kind, label = style.RECIPE.world, "technical", "technical"
    else:
        world, kind, label = TownConfig(), "bad", "malicious"
    after = {f"after_{told}": inferred(base, town, told, label) for told in (kind, "good")}
    print(json.dumps({"held_out_loss": held_out_loss(base, town, world), **after}))
