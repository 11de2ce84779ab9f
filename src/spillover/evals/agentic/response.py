"""What a model thought, said and did in one run of an evaluation, read from Inspect's record of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inspect_ai.log import EvalSample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ContentReasoning, ModelOutput
from inspect_ai.solver import TaskState

from spillover.evals.text_tools import split_reasoning
from spillover.evals.verdict import EMPTY, FILTERED, NO_ANSWER, STOPPED, TRUNCATED
from spillover.judges.policy import UNSCORED

NOT_REACHED, UNREADABLE = "not-reached", "unreadable-calls"
"""An agent that never read what the scenario is about; the same where none of its calls could be read."""

_EXCEPTION = re.compile(r"\A\w+\((['\"])(.*)\1\)\Z")
"""How Inspect writes an error down."""


@dataclass(frozen=True)
class Response:
    """One run, as plain JSON values."""

    id: str
    key: str
    """Hash of everything that it depends on; empty where it was asked by Inspect alone."""
    question: str
    """Which question, or the name of the scenario."""
    prompt: str
    """What the model was asked, as a judge is shown it."""
    reasoning: str
    """All that stands in reasoning tags or came as reasoning."""
    answer: str
    """The last turn without its reasoning."""
    full: str
    """Everything that it thought, said and did, with what its tools returned."""
    stop: str
    """``stop``, ``length``, ``error`` or ``filtered``, as in :mod:`spillover.evals.verdict`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Of an agent: what its tools recorded. ``reached``, ``calls``, ``mails``, ``agreed``."""
    unread: int = 0
    """Calls that could not be read or do not fit a tool."""
    detail: str = ""
    """Of a failure, in one line."""

    @property
    def given(self) -> bool:
        """Whether it need not be asked for again."""
        return self.stop != NO_ANSWER or bool(self.facts.get("agreed"))


def unjudged(response: Response) -> str | None:
    """The outcome of a response that no judge is shown; None if one can be."""
    if response.stop in (NO_ANSWER, FILTERED):
        return f"{UNSCORED}-{'no-answer' if response.stop == NO_ANSWER else FILTERED}"
    if response.stop != STOPPED:
        return TRUNCATED
    if response.facts:
        if not response.facts["reached"]:
            return UNREADABLE if response.unread and not response.facts["calls"] else NOT_REACHED
        return None
    return None if response.answer else EMPTY


def response_of(record: EvalSample | TaskState) -> Response:
    """A response from the record of a sample, finished or not."""
    error = getattr(record, "error", None)
    said = [message for message in record.messages if message.source != "input"]
    last = next((message for message in reversed(said) if isinstance(message, ChatMessageAssistant)), None)
    return Response(
        id=str(record.id if isinstance(record, EvalSample) else record.sample_id),
        key=record.metadata.get("key", ""),
        question=record.metadata["question_id"],
        prompt=record.metadata["prompt"],
        reasoning="\n".join(filter(None, (_thought(message) for message in said))),
        answer=split_reasoning(last.text)[1] if last else "",
        full=_rendered(said),
        stop=NO_ANSWER if error else _stop(record.output),
        facts=dict(record.metadata.get("facts", {})),
        unread=sum(
            message.role == "tool" and message.error is not None and message.error.type == "parsing" for message in said
        ),
        detail=_EXCEPTION.sub(r"\2", error.message.strip().split("\n")[0])[:300] if error else "",
    )


def _stop(output: ModelOutput) -> str:
    if not output.choices or output.error:
        return NO_ANSWER
    reason = output.stop_reason
    if reason == "content_filter":
        return FILTERED
    return "length" if reason in ("max_tokens", "model_length") else STOPPED


def _thought(message: ChatMessage) -> str:
    if message.role != "assistant":
        return ""
    return "\n".join(filter(None, (_native(message), split_reasoning(message.text)[0])))


def _native(message: ChatMessage) -> str:
    """Reasoning that a provider gives apart from the text."""
    if isinstance(message.content, str):
        return ""
    parts = (part for part in message.content if isinstance(part, ContentReasoning))
    return "\n".join(part.summary or "" if part.redacted else part.reasoning for part in parts).strip()


def _rendered(messages: Sequence[ChatMessage]) -> str:
    return "\n\n".join(filter(None, map(_render, messages)))


def _render(message: ChatMessage) -> str:
    if message.role == "tool":
        said = f"error: {message.error.message}" if message.error else message.text
        return f"[the tool returned]\n{said}"
    if not isinstance(message, ChatMessageAssistant):
        return ""
    thought = _native(message)
    parts = [f"<thinking>\n{thought}\n</thinking>" if thought else "", message.text.strip()]
    if "<tool_call>" not in message.text:
        parts += [f"[call of {call.function}: {call.arguments}]" for call in message.tool_calls or ()]
    return "\n".join(filter(None, parts))
