"""What the features of a dictionary fire on in documents, and whose documents those are."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spillover.analysis.dictionary import Active, Dictionary, token_states
from spillover.analysis.texts import Text

BEFORE = 10
"""Tokens before the one a feature fires on that are shown."""
AT_ONCE = 64
"""Features whose activations are compared between documents at once."""


class Fires:
    """A dictionary of a base on documents that it was not trained on.

    Args:
        model: The base.
        tokenizer: Of the base.
        dictionary: Of the base.
        texts: Documents.
        opening: The token behind which an answer begins: a prompt's last.
    """

    def __init__(self, model: Any, tokenizer: Any, dictionary: Dictionary, texts: Sequence[Text], opening: int) -> None:
        self._tokenizer, self._texts = tokenizer, texts
        rows = [text.ids for text in texts]
        states, self._owner, self._place = token_states(model, tokenizer, rows, dictionary.layer)
        self.quality = dictionary.quality(states)
        self._active = dictionary.active(states)
        self._features = len(dictionary.directions)
        pairs = zip(self._owner.tolist(), self._place.tolist(), strict=True)
        self._token = torch.tensor([rows[row][place] for row, place in pairs])
        self._opening = self._token == opening
        self.firing = self._active.mean(self._features) > 0
        """Of each feature, whether it fires on any token."""

    def tokens(self, feature: int, count: int = 5) -> list[tuple[str, float]]:
        """The tokens it fires on most, each with its share of all activation of the feature."""
        values = self._active.of(feature)
        total = torch.zeros(int(self._token.max()) + 1).index_add_(0, self._token, values)
        best = total.topk(min(count, len(total)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(self._tokenizer.decode([token]), value / float(values.sum())) for token, value in pairs if value > 0]

    def contexts(self, feature: int, count: int = 3) -> list[str]:
        """The places where it fires most strongly, each in another document: what is before the token, and «it»."""
        values = self._active.of(feature)
        found: dict[int, str] = {}
        for at in values.argsort(descending=True)[: 50 * count].tolist():
            row, place = int(self._owner[at]), int(self._place[at])
            if values[at] > 0 and row not in found and len(found) < count:
                ids = self._texts[row].ids
                before = self._tokenizer.decode(ids[max(0, place - BEFORE) : place])
                found[row] = f"{before}«{self._tokenizer.decode([ids[place]])}»"
        return list(found.values())

    def by_trait(self, trait: str, *, openings: bool = False) -> Tensor:
        """Mean activation of every feature in each document of such authors: documents × features.

        Args:
            trait: Of the authors; documents of unknown ones have none.
            openings: Only where an answer begins.
        """
        rows = [number for number, text in enumerate(self._texts) if text.trait == trait]
        found = torch.zeros(len(rows), self._features)
        for place, row in enumerate(rows):
            chosen = (self._owner == row) & (self._opening if openings else True)
            found[place] = Active(self._active.indices[chosen], self._active.values[chosen]).mean(self._features)
        return found


def auc(first: Tensor, second: Tensor) -> Tensor:
    """For each feature, how often a document of the first kind has more of it than one of the second; ties half.

    Args:
        first: Documents × features.
        second: Documents × features.

    Returns:
        ½ is chance; ``nan`` where there are no documents.
    """
    found = []
    for one, two in zip(first.split(AT_ONCE, 1), second.split(AT_ONCE, 1), strict=True):
        difference = one[:, None] - two[None]
        found.append((difference.sign() + 1).div(2).mean((0, 1)))
    return torch.cat(found)
