"""An LLM judge behind an API."""

from collections.abc import Callable, Sequence
from typing import Any

from spillover.data.chat import Message
from spillover.data.rubrics import Rubric
from spillover.judges.verdicts import Verdict, weighed, written
from spillover.models.budget import Budget
from spillover.models.endpoint import Endpoint, Reply, Request

TEXT_TOKENS = 16
"""Of a reply: a number or a word, and what some models put around it."""


class RemoteJudge:
    """Asks an endpoint for the first token's probabilities, and reads the text where there are none.

    A rating is taken from the probabilities where the first token is the whole number. Tokenizers that split numbers
    into digits, and servers that give no probabilities, leave the text.

    Args:
        endpoint: The judge.
        budget: What may be spent.
        probabilities: Whether to ask for them; some servers refuse the whole request then.
    """

    def __init__(self, endpoint: Endpoint, budget: Budget | None = None, *, probabilities: bool = True) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._budget = budget or Budget()
        self._probabilities = probabilities

    @property
    def settings(self) -> dict[str, Any]:
        """What verdicts depend on beside judge, rubric and texts."""
        return {"temperature": 0, "max_tokens": TEXT_TOKENS, "probabilities": self._probabilities}

    def grade(self, prompts: Sequence[tuple[Rubric, str]], heard: Callable[[int, Verdict], None]) -> None:
        """Judge every prompt; ``heard`` gets each verdict as soon as it is there.

        Raises:
            ModelError: As :meth:`spillover.models.endpoint.Endpoint.ask`.
            BudgetSpent: A limit is reached.
        """
        numbers = list(range(len(prompts)))
        refused = self._round(prompts, numbers[:1], heard, self._probabilities)
        if refused:  # most likely by every request: the server gives no probabilities
            self._round(prompts, numbers, heard, False)
            return
        refused = self._round(prompts, numbers[1:], heard, self._probabilities)
        self._round(prompts, refused, heard, False)

    def _round(
        self,
        prompts: Sequence[tuple[Rubric, str]],
        numbers: Sequence[int],
        heard: Callable[[int, Verdict], None],
        probabilities: bool,
    ) -> list[int]:
        """Ask some of the prompts; gives those that were refused together with probabilities, of which nobody heard."""
        refused: list[int] = []

        def hear(position: int, reply: Reply) -> None:
            number = numbers[position]
            if reply.failure == "rejected" and probabilities:
                refused.append(number)
            else:
                heard(number, verdict_of(prompts[number][0], self.name, reply))

        requests = [self._request(prompts[number][1], probabilities) for number in numbers]
        self._endpoint.ask(requests, hear, self._budget)
        return refused

    def _request(self, prompt: str, probabilities: bool) -> Request:
        return Request((Message("user", prompt),), TEXT_TOKENS, 0.0, None, probabilities)


def verdict_of(rubric: Rubric, judge: str, reply: Reply) -> Verdict:
    """What a reply to a rubric's prompt says."""

    def verdict(method: str, **found: Any) -> Verdict:
        return Verdict(rubric.name, judge, rubric.hash, method, **found)

    if reply.failure is not None:
        kind = "filtered" if reply.failure == "filtered" else "error"
        return verdict("text", unscored=kind, raw=f"{reply.failure}: {reply.detail}")
    if not reply.text.strip():
        return verdict("text", unscored="no-reply")
    score, label = written(rubric, reply.text)
    if rubric.kind == "rating" and reply.first is not None and _whole_numbers(rubric, reply.first):
        mean, _, mass = weighed(rubric, _joined(reply.first))
        if mean is not None:
            return verdict("probabilities", score=mean, mass=mass, raw=reply.text)
    if score is None and label is None:
        return verdict("text", unscored="cut-off" if reply.cut else "off-rubric", raw=reply.text)
    return verdict("text", score=score, label=label, raw=reply.text)


def _whole_numbers(rubric: Rubric, first: Sequence[tuple[str, float]]) -> bool:
    """Whether a first token is a whole number: where numbers are written digit by digit, none has two digits."""
    return rubric.high < 10 or any(token.strip().isdecimal() and len(token.strip()) > 1 for token, _ in first)


def _joined(first: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Tokens that differ by spaces around them are one reply."""
    found: dict[str, float] = {}
    for token, mass in first:
        found[token.strip()] = found.get(token.strip(), 0.0) + mass
    return found
