"""What a model is given when it is asked a question."""

from collections.abc import Iterable
from typing import Any

from spillover.data.chat import Message
from spillover.data.questions import Question
from spillover.models.chat_template import encode_chat

Asked = tuple[Question, list[Message], list[int]]
"""Question, conversation and prompt tokens."""


def conversation(question: Question, paraphrase: int) -> list[Message]:
    """The messages a model is given."""
    system = [Message(role="system", content=question.system)] if question.system else []
    return [*system, *question.context, Message(role="user", content=question.paraphrases[paraphrase])]


def prompted(tokenizer: Any, asked: Iterable[tuple[Question, int]]) -> list[Asked]:
    """Conversation and prompt of each (question, paraphrase)."""
    found = []
    for question, paraphrase in asked:
        chat = conversation(question, paraphrase)
        found.append((question, chat, encode_chat(tokenizer, chat, add_generation_prompt=True)))
    return found
