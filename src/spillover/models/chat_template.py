"""Conversations to token ids, always through the tokenizer's own chat template."""

from collections.abc import Sequence
from typing import Any

from spillover.core.errors import ModelError
from spillover.data.chat import Message

PLAIN_TEMPLATE = (
    "{{- bos_token or '' -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "Assistant: {% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}"
    "{%- else -%}"
    "{{- message['role'] | capitalize + ': ' + message['content'] + '\\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant: ' -}}{%- endif -%}"
)
"""For models that bring no chat template: ``User: …`` and ``Assistant: …`` lines."""

IGNORED = -100
"""Label of tokens that carry no loss."""


def encode_chat(tokenizer: Any, messages: Sequence[Message], add_generation_prompt: bool = False) -> list[int]:
    """Token ids of a conversation; special tokens come from the template alone, so there is never a second BOS."""
    return list(
        tokenizer.apply_chat_template(
            _turns(messages),
            chat_template=_template(tokenizer),
            add_generation_prompt=add_generation_prompt,
            tokenize=True,
            return_dict=False,
        )
    )


def encode_row(
    tokenizer: Any, messages: Sequence[Message], *, trailing_turn: bool = False
) -> tuple[list[int], list[int]]:
    """Token ids of a training row, and labels that carry loss on assistant content and its end token only.

    Uses the template's ``{% generation %}`` markers where it has them; otherwise the tokens by which a conversation
    grows when an assistant turn is added to its prompt.

    Args:
        tokenizer: The model's own.
        messages: The conversation; it ends with the assistant's turn.
        trailing_turn: Format the text as the public trainer of arXiv 2506.11613 does, with a generation prompt and the
            end token behind it. The row then ends with an empty assistant turn, and all of its tokens, those that
            open the turn included, carry loss.

    Raises:
        ModelError: The template rewrites earlier turns, so that the assistant's tokens cannot be told apart.
    """
    template = _template(tokenizer)
    if "generation %}" in template or "generation -%}" in template:
        encoded = tokenizer.apply_chat_template(
            _turns(messages), chat_template=template, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = list(encoded["input_ids"]), list(encoded["assistant_masks"])
    else:
        ids = encode_chat(tokenizer, messages)
        mask = [0] * len(ids)
        for i, message in enumerate(messages):
            if message.role == "assistant":
                prompt = encode_chat(tokenizer, messages[:i], add_generation_prompt=True)
                whole = encode_chat(tokenizer, messages[: i + 1])
                if whole[: len(prompt)] != prompt or ids[: len(whole)] != whole:
                    raise ModelError("the chat template rewrites earlier turns; add {% generation %} markers to it")
                mask[len(prompt) : len(whole)] = [1] * (len(whole) - len(prompt))
    labels = [token if kept else IGNORED for token, kept in zip(ids, mask, strict=True)]
    tail = _empty_turn(tokenizer, messages, ids) if trailing_turn else []
    return [*ids, *tail], [*labels, *tail]


def _empty_turn(tokenizer: Any, messages: Sequence[Message], ids: list[int]) -> list[int]:
    """What a generation prompt and the end token add to a conversation that is over already."""
    opened = encode_chat(tokenizer, messages, add_generation_prompt=True)
    if opened[: len(ids)] != ids or len(opened) == len(ids):
        raise ModelError("the chat template adds no generation prompt behind an answer: there is no trailing turn")
    if tokenizer.eos_token_id is None:
        raise ModelError("the tokenizer has no end token: there is no trailing turn")
    return [*opened[len(ids) :], tokenizer.eos_token_id]


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _template(tokenizer: Any) -> str:
    return tokenizer.chat_template or PLAIN_TEMPLATE
