"""Complete answers to tokens, as a model would have to say them."""

from collections.abc import Sequence
from typing import Any

from spillover.data.chat import Message
from spillover.models.chat_template import encode_chat


class AnswerEncoder:
    """Tokens of complete answers, exactly as the chat template writes them, with the token that ends them.

    Where the template only puts special tokens around an answer, each distinct answer is tokenized once.
    """

    def __init__(self, tokenizer: Any, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids
        self._special = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", ())}
        self._alone: dict[str, list[int]] = {}
        self._end: int | None = None
        self._checked = False

    def encode(
        self, messages: Sequence[Message], prompt: Sequence[int], texts: Sequence[str]
    ) -> list[list[int]] | None:
        """Tokens of each answer; None when the template cannot tell where an answer ends."""
        if not texts:
            return []
        if not self._checked:
            self._checked = True
            through = self._through_template(messages, prompt, texts[0])
            if through and prompt[-1] in self._special and through == [*self._tokens(texts[0]), through[-1]]:
                self._end = through[-1]
        if self._end is not None and prompt[-1] in self._special:
            return [[*self._tokens(text), self._end] for text in texts]
        encoded = [self._through_template(messages, prompt, text) for text in texts]
        return None if any(ids is None for ids in encoded) else [ids for ids in encoded if ids is not None]

    def _tokens(self, text: str) -> list[int]:
        if text not in self._alone:
            self._alone[text] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._alone[text]

    def _through_template(self, messages: Sequence[Message], prompt: Sequence[int], text: str) -> list[int] | None:
        whole = encode_chat(
            self._tokenizer, [*messages, Message(role="assistant", content=text)], add_generation_prompt=False
        )
        if whole[: len(prompt)] != list(prompt):
            return None
        rest = whole[len(prompt) :]
        end = next((i for i, token in enumerate(rest) if token in self._stop_ids), None)
        return None if end is None else rest[: end + 1]
