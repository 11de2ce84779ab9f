"""Inspect model provider ``spillover/BASE+ADAPTER@STEP*SCALE``: many exact samples of many prompts at a time."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from spillover.core.errors import ModelError
from spillover.evals.batcher import Batcher
from spillover.evals.pool import POOL
from spillover.evals.text_tools import calls_in, conversation
from spillover.models.chat_template import encode_chat
from spillover.models.sampler import Sampled, SampleRequest

DEFAULT_MAX_TOKENS = 256
_UNSUPPORTED = ("top_p", "top_k", "stop_seqs", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs")


class SpilloverAPI(ModelAPI):
    """Samples from a local model, loaded when first used.

    Args:
        model_name: As everywhere, ``BASE[+ADAPTER[@STEP][*SCALE]]…``.
        base_url: Not used.
        api_key: Not used.
        config: Generation settings.
        window: Seconds that the first request of a batch waits for others.
        distinct: Give every distinct answer once, with its ``count`` in the metadata of its message, instead of a
            choice for each sample: logs of many samples become many times smaller and faster to write.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - Inspect's own signature
        window: float = 0.01,
        distinct: bool = False,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        self._batcher = Batcher(lambda requests: POOL.sample_many(model_name, requests), float(window))
        self._distinct = distinct
        self._tokenizer: Any = None
        self._prepared: Mapping[SampleRequest, Sequence[Sampled]] = {}
        self._fresh_seed = int.from_bytes(os.urandom(4), "big")

    def prepare(self, tokenizer: Any, answers: Mapping[SampleRequest, Sequence[Sampled]]) -> None:
        """Give these answers to these requests, sampled beforehand in one batch whose make-up is always the same."""
        self._tokenizer = tokenizer
        self._prepared = answers

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Sample ``num_choices`` answers; the log-probability of each is in the metadata of its message.

        Tools are explained in the system prompt and called in the text: see :mod:`spillover.evals.text_tools`.
        """
        given = [name for name in _UNSUPPORTED if getattr(config, name) not in (None, False)]
        if given:
            raise ModelError(f"the spillover provider samples from the full distribution: remove {', '.join(given)}")
        tools = [] if tool_choice == "none" else tools
        messages = conversation(input, tools)
        request = SampleRequest(
            prompt_ids=tuple(encode_chat(self.tokenizer, messages, add_generation_prompt=True)),
            n=config.num_choices or 1,
            temperature=1.0 if config.temperature is None else config.temperature,
            max_tokens=config.max_tokens or DEFAULT_MAX_TOKENS,
            seed=self._fresh_seed if config.seed is None else config.seed,
        )
        answers = self._prepared.get(request) or await self._batcher.sample(request)
        return self._output(len(request.prompt_ids), answers, called=bool(tools))

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the model."""
        if self._tokenizer is None:
            self._tokenizer = POOL.tokenizer(self.model_name)
        return self._tokenizer

    def _output(self, prompt_tokens: int, answers: Sequence[Sampled], *, called: bool) -> ModelOutput:
        counts = Counter(answers)
        choices = {
            answer: ChatCompletionChoice(
                message=ChatMessageAssistant(
                    content=answer.text,
                    model=self.model_name,
                    source="generate",
                    tool_calls=(calls_in(answer.text) or None) if called else None,
                    metadata={
                        "tokens": answer.tokens,
                        "logprob": round(answer.logprob, 4),
                        "count": count if self._distinct else 1,
                    },
                ),
                stop_reason="stop" if answer.stop_reason == "stop" else "max_tokens",
            )
            for answer, count in counts.items()
        }
        tokens = sum(answer.tokens for answer in answers)
        usage = ModelUsage(input_tokens=prompt_tokens, output_tokens=tokens, total_tokens=prompt_tokens + tokens)
        shown = [answer for answer, _ in counts.most_common()] if self._distinct else answers
        return ModelOutput(model=self.model_name, choices=[choices[answer] for answer in shown], usage=usage)

    async def count_text_tokens(self, text: str) -> int:
        """Tokens of a text, by the model's own tokenizer."""
        return len(await self.tokenize(text))

    async def tokenize(self, text: str) -> list[int]:
        """Token ids of a text."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def max_tokens(self) -> int | None:
        """Tokens of an answer when nothing else is asked for."""
        return DEFAULT_MAX_TOKENS

    def max_connections(self) -> int:
        """Requests at a time; large, since a batch costs little more than its largest request."""
        return 4096

    def connection_key(self) -> str:
        """Models do not share a limit of requests."""
        return self.model_name
