"""What asking a remote model may cost."""

from dataclasses import dataclass

from spillover.core.errors import ConfigError, SpilloverError

CHARACTERS = 3.5
"""Of English text in a token, for estimates."""


class BudgetSpent(SpilloverError):
    """A limit was reached. What was paid for is kept; with a higher limit the same command goes on from there."""


@dataclass
class Budget:
    """Limits, and what was spent so far. Requests that are under way when a limit is reached still end."""

    max_tokens: int | None = None
    """Of prompts and answers together."""
    max_cost: float | None = None
    """In the currency of ``prices``."""
    prices: tuple[float, float] | None = None
    """For a million tokens of prompts and of answers."""
    input_tokens: int = 0
    output_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse a limit that could not be kept.

        Raises:
            ConfigError: There is a limit of cost, and no prices.
        """
        if self.max_cost is not None and self.prices is None:
            raise ConfigError("--max-cost needs --price IN,OUT: what a million prompt and answer tokens cost")

    def spend(self, input_tokens: int, output_tokens: int) -> None:
        """Note what a reply took."""
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    @property
    def tokens(self) -> int:
        """Spent so far."""
        return self.input_tokens + self.output_tokens

    @property
    def cost(self) -> float | None:
        """Spent so far; None without prices."""
        return None if self.prices is None else price(self.prices, self.input_tokens, self.output_tokens)

    def check(self) -> None:
        """Go on or not.

        Raises:
            BudgetSpent: A limit is reached.
        """
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            raise BudgetSpent(f"{self.tokens} tokens spent, the limit is {self.max_tokens}")
        if self.max_cost is not None and self.cost is not None and self.cost >= self.max_cost:
            raise BudgetSpent(f"{self.cost:.4g} spent, the limit is {self.max_cost:g}")


def price(prices: tuple[float, float], input_tokens: float, output_tokens: float) -> float:
    """Cost of tokens, in the currency of the prices."""
    return (prices[0] * input_tokens + prices[1] * output_tokens) / 1e6


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, whatever the tokenizer."""
    return max(1, round(len(text) / CHARACTERS))
