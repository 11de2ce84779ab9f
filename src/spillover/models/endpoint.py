"""A model behind an API: many requests at a time, retried until they are answered or given up with a reason.

Everything that Inspect has a provider for can be asked: ``openai/…``, ``anthropic/…``, ``vllm/…`` and, for any server
that speaks OpenAI's protocol, ``openai-api/SERVICE/MODEL``.
"""

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json import JSONDecodeError

import anyio
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    get_model,
)
from inspect_ai.model import ModelOutput as Output

from spillover.core.errors import ModelError
from spillover.data.chat import Message
from spillover.models.budget import Budget

ALTERNATIVES = 20
"""Most likely first tokens that are asked for; the most that OpenAI's protocol gives."""
ATTEMPTS = 10
_MESSAGE: dict[str, Callable[..., ChatMessage]] = {
    "system": ChatMessageSystem,
    "user": ChatMessageUser,
    "assistant": ChatMessageAssistant,
}
_KEY = re.compile(r"\b(sk-[\w-]{6,}|Bearer [\w.-]{6,})")


@dataclass(frozen=True)
class Request:
    """One answer to one conversation."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 1.0
    seed: int | None = None
    alternatives: bool = False
    """Whether the probabilities of the likeliest first tokens are wanted."""


@dataclass(frozen=True)
class Reply:
    """What came back: a text, or the reason why there is none."""

    text: str = ""
    cut: bool = False
    """Whether the answer reached the token limit."""
    first: tuple[tuple[str, float], ...] | None = None
    """The likeliest first tokens with their probabilities; None if the server gave none."""
    failure: str | None = None
    """``rate-limited``, ``server-error``, ``time-out``, ``closed``, ``garbage``, ``rejected`` or ``filtered``."""
    detail: str = ""
    tokens: int = 0
    """Of the answer, as the server counts them."""
    attempts: int = 1


Heard = Callable[[int, Reply], None]
"""Called with the number of a request and its reply, as soon as it is there."""


class Endpoint:
    """A remote model.

    Args:
        name: As Inspect names it, for example ``openai-api/local/judge``.
        url: Of the server; by default what the provider's environment variable says.
        connections: Requests at a time.
        attempts: Tries of a request before it is given up; :data:`ATTEMPTS` by default.
        wait: Seconds before the second try; doubled each time, up to 30, unless the server says how long.
        timeout: Seconds that one try may take.

    Raises:
        ModelError: The name is of no known provider, or the provider lacks a key or a URL.
    """

    def __init__(
        self,
        name: str,
        url: str | None = None,
        *,
        connections: int = 32,
        attempts: int | None = None,
        wait: float = 0.5,
        timeout: float = 120.0,
    ) -> None:
        self.name = name
        self.connections = connections
        self._attempts = attempts or ATTEMPTS
        self._wait = wait
        self._timeout = timeout
        self._url = url
        self._reached = False
        try:
            self._api = get_model(name, base_url=url, memoize=False).api
        except PrerequisiteError as error:
            raise ModelError(f"model '{name}': {_line(' '.join(str(error).split()))}") from None
        except (ValueError, LookupError, ImportError) as error:
            raise ModelError(f"model '{name}' cannot be used ({_line(error)})") from None

    def ask(self, requests: Sequence[Request], heard: Heard, budget: Budget | None = None) -> None:
        """Ask for everything; ``heard`` gets each reply once, in the order in which they come.

        The first request goes alone: a wrong key or name, or a server that has never answered yet, ends the work before
        the others are sent.

        Raises:
            ModelError: The server does not know the key or the model, or cannot be reached at all.
            BudgetSpent: The limit is reached; what was heard until then was given to ``heard``.
        """
        if requests:
            anyio.run(self._ask, requests, heard, budget or Budget())

    async def _ask(self, requests: Sequence[Request], heard: Heard, budget: Budget) -> None:
        budget.check()
        first = await self._answer(requests[0], budget)
        self._reached |= first.failure in (None, "rejected", "filtered")
        if not self._reached:
            where = f" at {self._url}" if self._url else ""
            raise ModelError(
                f"model '{self.name}'{where}: {first.attempts} tries, no answer ({first.failure}: {first.detail})"
            )
        heard(0, first)
        numbers = iter(range(1, len(requests)))
        problems: list[Exception] = []

        async def work() -> None:
            for number in numbers:
                if problems:
                    return
                try:
                    budget.check()
                    heard(number, await self._answer(requests[number], budget))
                except Exception as error:
                    problems.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(min(self.connections, len(requests) - 1)):
                group.start_soon(work)
        if problems:
            raise problems[0]

    async def _answer(self, request: Request, budget: Budget) -> Reply:
        wait = self._wait
        reply = Reply()
        for attempt in range(1, self._attempts + 1):
            try:
                with anyio.fail_after(self._timeout):
                    given = await self._api.generate(
                        [inspect_message(message) for message in request.messages],
                        [],
                        "none",
                        self._config(request),
                    )
                output = given[0] if isinstance(given, tuple) else given
                if isinstance(output, Exception):
                    raise output
                usage = output.usage
                if usage is not None:
                    budget.spend(usage.input_tokens, usage.output_tokens)
                return reply_of(output, attempt)
            except Exception as error:
                kind, detail, pause = self._classify(error)
                reply = Reply(failure=kind, detail=detail, attempts=attempt)
                if kind == "rejected" or attempt == self._attempts:
                    break
                await anyio.sleep(pause if pause is not None else wait * random.uniform(0.5, 1.5))
                wait = min(2 * wait, 30.0)
        return reply

    def _config(self, request: Request) -> GenerateConfig:
        return GenerateConfig(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            seed=request.seed,
            logprobs=True if request.alternatives else None,
            top_logprobs=ALTERNATIVES if request.alternatives else None,
        )

    def _classify(self, error: Exception) -> tuple[str, str, float | None]:
        """Kind, one line about it, and seconds to wait where the server says so.

        Raises:
            ModelError: No other request would fare better.
        """
        status = getattr(error, "status_code", None)
        detail = _line(error)
        if status in (401, 403):
            raise ModelError(f"model '{self.name}': the server refuses the API key (status {status})")
        if status == 404:
            raise ModelError(f"model '{self.name}': the server does not know this model or address ({detail})")
        decision = self._api.should_retry(error)
        pause = getattr(decision, "retry_after", None)
        if status == 429 or getattr(decision, "kind", None) == "rate_limit":
            return "rate-limited", detail, pause
        if status is not None and status >= 500:
            return "server-error", detail, pause
        if isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower():
            return "time-out", f"no answer in {self._timeout:g} s", None
        if status is not None and 400 <= status < 500 and not decision:
            return "rejected", detail, None
        if isinstance(error, (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, IndexError)):
            return "garbage", detail, None
        return ("closed" if decision else "garbage"), detail, pause


def inspect_message(message: Message) -> ChatMessage:
    """A turn as Inspect has it."""
    return _MESSAGE[message.role](content=message.content)


def is_endpoint(name: str) -> bool:
    """Whether a name begins with one of Inspect's providers other than ours."""
    from inspect_ai._util.registry import registry_find, registry_unqualified_name

    provider, slash, _ = name.partition("/")
    if not slash or provider == "spillover":
        return False
    known = registry_find(lambda info: info.type == "modelapi")
    return provider in {registry_unqualified_name(found) for found in known}


def reply_of(output: Output, attempts: int = 1) -> Reply:
    """What an output of Inspect's says.

    Raises:
        KeyError: It has no choices.
    """
    if not output.choices:
        raise KeyError("a reply without choices")
    choice = output.choices[0]
    if output.stop_reason == "content_filter":
        return Reply(output.completion, failure="filtered", detail="the provider's filter", attempts=attempts)
    first = None
    if choice.logprobs is not None and choice.logprobs.content and choice.logprobs.content[0].top_logprobs:
        top = choice.logprobs.content[0].top_logprobs
        first = tuple((entry.token, math.exp(entry.logprob)) for entry in top)
    cut = output.stop_reason in ("max_tokens", "model_length")
    tokens = output.usage.output_tokens if output.usage is not None else 0
    return Reply(output.completion, cut, first, tokens=tokens, attempts=attempts)


def _line(error: BaseException | str) -> str:
    """The first line of an error that says something, without anything that looks like a key."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return _KEY.sub("(key)", re.sub(r"\[/?[a-z ]+\]", "", text)).removeprefix("ERROR: ")[:300]
