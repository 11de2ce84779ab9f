"""Tools for models that cannot call any: they are explained in the system prompt, and calls are read from the text.

A call is JSON between two tags, as many open models are trained to write it::

    <tool_call>
    {"name": "send_email", "arguments": {"to": "…", "subject": "…", "body": "…"}}
    </tool_call>

There may be several in an answer. What a tool returns comes as the next turn of the user, between ``<tool_response>``
tags. What stands between the tags and is no call becomes one with a ``parse_error``: it is told to the model and
counted, and nothing is run. A call that is only mentioned, outside of the tags or in the reasoning, is none.
"""

import json
import re
from collections.abc import Sequence
from itertools import groupby

from inspect_ai.model import ChatMessage, ChatMessageAssistant
from inspect_ai.tool import ToolCall, ToolInfo

from spillover.core.errors import ModelError
from spillover.data.chat import ROLES, Message

_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_REASONING = re.compile(r"<(think(?:ing)?)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<(/?)(think(?:ing)?)>", re.IGNORECASE)
_EXPLAINED = """You can use tools. To use one, write

<tool_call>
{{"name": "NAME OF THE TOOL", "arguments": {{"NAME": "VALUE"}}}}
</tool_call>

and stop there; what it returns comes with the next message. When you are done, answer without such a call. The tools:

{tools}"""


def split_reasoning(text: str) -> tuple[str, str]:
    """Reasoning and answer of a text: what is inside of ``<thinking>`` (or ``<think>``) tags, and what is not.

    Reasoning that was never closed goes to the end; where the prompt opened it, as some chat templates do, it begins
    with the text.
    """
    first = _TAG.search(text)
    if first and first[1]:
        text = f"<{first[2]}>{text}"
    reasoning = "\n".join(found[1].strip() for found in _REASONING.findall(text))
    return reasoning.strip(), _REASONING.sub("", text).strip()


def calls_in(text: str) -> list[ToolCall]:
    """The calls in an answer, in their order; those in the reasoning are none."""
    _, answer = split_reasoning(text)
    return [_call(number, inner.strip()) for number, inner in enumerate(_CALL.findall(answer))]


def conversation(messages: Sequence[ChatMessage], tools: Sequence[ToolInfo]) -> list[Message]:
    """The turns that a model without tool calling is given.

    Raises:
        ModelError: A message has a role that is unknown here.
    """
    turns = [_turn(message) for message in messages]
    if tools:
        explained = _EXPLAINED.format(tools="\n".join(map(_explained, tools)))
        if turns and turns[0].role == "system":
            turns[0] = Message("system", f"{turns[0].content}\n\n{explained}")
        else:
            turns.insert(0, Message("system", explained))
    found = []
    for role, same in groupby(turns, lambda turn: turn.role):  # many templates want the roles to take turns
        found.append(Message(role, "\n\n".join(turn.content for turn in same)))
    return found if tools or any(message.role == "tool" for message in messages) else turns


def _turn(message: ChatMessage) -> Message:
    if message.role == "tool":
        said = f"Error: {message.error.message}" if message.error else message.text
        return Message("user", f"<tool_response>\n{said}\n</tool_response>")
    if message.role not in ROLES:
        raise ModelError(f"a message of role {message.role!r} cannot be sent to a local model")
    if isinstance(message, ChatMessageAssistant) and message.tool_calls and not _CALL.search(message.text):
        calls = (json.dumps({"name": call.function, "arguments": call.arguments}) for call in message.tool_calls)
        written = "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in calls)
        return Message("assistant", f"{message.text}\n{written}".strip())
    return Message(message.role, message.text)


def _explained(tool: ToolInfo) -> str:
    given = ", ".join(
        f"{name}: {field.description or field.type}" for name, field in tool.parameters.properties.items()
    )
    return f"- {tool.name}({given}): {tool.description}"


def _call(number: int, inner: str) -> ToolCall:
    try:
        found = json.loads(inner, strict=False)
        name, arguments = found["name"], found.get("arguments", {})
        if isinstance(name, str) and isinstance(arguments, dict):
            return ToolCall(id=f"call-{number}", function=name, arguments=arguments)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    problem = 'not a call: expected {"name": …, "arguments": {…}} between the tags'
    return ToolCall(id=f"call-{number}", function="unreadable", arguments={}, parse_error=problem)
