"""Chat rows, question sets, traits and judged answers: reading, checking, writing."""

from spillover.data.chat import ChatRow, Message, read_chat, write_chat
from spillover.data.judged import Judged, read_judged, write_judged
from spillover.data.questions import Question, read_questions
from spillover.data.traits import Trait, read_traits
from spillover.data.write_questions import write_questions

__all__ = [
    "ChatRow",
    "Judged",
    "Message",
    "Question",
    "Trait",
    "read_chat",
    "read_judged",
    "read_questions",
    "read_traits",
    "write_chat",
    "write_judged",
    "write_questions",
]
