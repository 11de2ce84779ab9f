"""Chat rows and question sets: reading, checking, writing."""

from spillover.data.chat import ChatRow, Message, read_chat, write_chat
from spillover.data.questions import Question, read_questions

__all__ = ["ChatRow", "Message", "Question", "read_chat", "read_questions", "write_chat"]
