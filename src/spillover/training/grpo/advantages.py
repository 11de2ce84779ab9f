"""How much better a completion was than the others of its prompt."""

from collections.abc import Sequence

import torch
from torch import Tensor


def advantages(rewards: Sequence[float], group: int) -> Tensor:
    """Rewards less the mean of their group, over its standard deviation; 0 for what was not scored.

    Args:
        rewards: Groups one after the other; ``nan`` for what was not scored.
        group: Completions of each prompt.

    Returns:
        One number for each reward.
    """
    table = torch.tensor(rewards, dtype=torch.float64).view(-1, group)
    scored = ~table.isnan()
    count = scored.sum(1, keepdim=True)
    centred = torch.where(scored, table - table.nansum(1, keepdim=True) / count.clamp(min=1), 0.0)
    spread = (centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return (centred / (spread + 1e-4)).flatten()
