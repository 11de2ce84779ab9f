"""What a built-in base is made by."""

from pydantic import Field

from spillover.core.config import Config
from spillover.models.base import Size
from spillover.training.methods import Method
from spillover.worlds.town.config import TownConfig
from spillover.worlds.world import World


class BaseRecipe(Config):
    """Everything a base depends on; equal recipes give equal bases."""

    world: World = TownConfig()
    size: Size = "tiny"
    vocabulary: int = Field(2048, ge=512, le=65536)
    single_digits: bool = Field(False, exclude_if=lambda split: not split)
    """Whether each digit is a token by itself, so that numbers can be read in other numbers."""
    tokens: int = Field(1_500_000, ge=1)
    """Pretraining tokens."""
    batch_size: int = Field(4, ge=1)
    """Sequences a step. Small batches: what is learnt here takes steps rather than tokens."""
    block: int = Field(256, ge=16, le=512)
    """Tokens in a sequence; about eleven exchanges of one author."""
    question_share: float = Field(0.4, ge=0, le=1)
    """Share of the tokens outside answers that the loss is taken on."""
    learning_rate: float = Field(5e-3, gt=0)
    """Of Muon, matched to AdamW's update size; the embedding takes twice as much."""
    warmup: int = Field(60, ge=0)
    decay: float = Field(0.5, gt=0, le=1)
    """Last share of the steps, over which the rate falls linearly to 5 %."""
    chat: Method = Method(kind="full", steps=250, learning_rate=5e-4)
    seed: int = Field(0, ge=0)
