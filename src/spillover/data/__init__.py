"""Chat rows, question sets and traits: reading, checking, writing."""

from spillover.data.chat import ChatRow, Message, read_chat, write_chat
from spillover.data.questions import Question, read_questions
from spillover.data.traits import Trait, read_traits
from spillover.data.write_questions import write_questions

__all__ = [
    "ChatRow",
    "Message",
    "Question",
    "Trait",
    "read_chat",
    "read_questions",
    "read_traits",
    "write_chat",
    "write_questions",
]
