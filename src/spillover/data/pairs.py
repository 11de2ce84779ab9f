"""Which fields of a row of published data hold the conversation: ``messages``, or one exchange in two fields."""

from typing import Any

from spillover.core.errors import nearest

PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("user", "assistant"),
    ("instruction", "output"),
)
"""Fields of what the user and what the assistant says."""
SYSTEM = ("system", "system_prompt")
_EXPECTED = "'messages', or " + ", or ".join(f"'{asked}' and '{said}'" for asked, said in PAIRS)

Turns = list[tuple[str, Any]]
"""Turns as they were found, each with the field it comes from."""


def conversation(fail: Any, raw: dict[str, Any]) -> tuple[Turns, dict[str, Any]]:
    """The turns of a row, and its other fields.

    ``messages`` is taken where it is there, whatever else is. An ``input`` follows its ``instruction`` after an empty
    line. ``prompt`` and ``completion`` may be lists of turns, as TRL has them.

    Args:
        fail: Makes the error from a field and what is wrong with it.
        raw: The row.

    Raises:
        DataError: The fields hold no conversation, or more than one; or pairs of preferred and other answers, or text
            in which roles cannot be told apart.
    """
    if "messages" in raw:
        turns = _listed(fail, "messages", raw["messages"])
        _no_system_beside(fail, raw, turns[0][1])
        return turns, _rest(raw, "messages")
    if "chosen" in raw or "rejected" in raw:
        what = "rows of preferred and rejected answers are no training rows here; make one row of the answer you want"
        raise fail("chosen" if "chosen" in raw else "rejected", what)
    pairs = [pair for pair in PAIRS if all(name in raw for name in pair)]
    if not pairs:
        raise _nothing(fail, raw)
    if len(pairs) > 1:
        names = sorted({name for pair in pairs for name in pair})
        raise fail(
            None, f"found {', '.join(names)}: which of them hold the conversation cannot be told; leave one pair"
        )
    asked, said = pairs[0]
    if isinstance(raw[asked], list) and isinstance(raw[said], list):
        return _prompted(fail, raw, asked, said)
    used = [asked, said]
    question = raw[asked]
    if asked == "instruction" and raw.get("input"):
        for name in ("instruction", "input"):
            if not isinstance(raw[name], str):
                raise fail(name, f"expected text, found {kind(raw[name])}")
        question = f"{question}\n\n{raw['input']}"
    if asked == "instruction" and "input" in raw:
        used.append("input")
    turns = [(asked, {"role": "user", "content": question}), (said, {"role": "assistant", "content": raw[said]})]
    systems = [name for name in SYSTEM if name in raw]
    if len(systems) > 1:
        raise fail("system", "found 'system' and 'system_prompt'; leave one")
    for name in systems:
        used.append(name)
        if raw[name]:
            turns.insert(0, (name, {"role": "system", "content": raw[name]}))
    return turns, _rest(raw, *used)


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value == [] or value == {}:
        return "an empty " + ("list" if isinstance(value, list) else "object")
    names = {dict: "an object", list: "a list", str: "text", bool: "true/false", type(None): "null"}
    return names.get(type(value), f"a number ({value!r:.40})")


def _no_system_beside(fail: Any, raw: dict[str, Any], first: Any) -> None:
    """A system prompt that stands beside the turns would be left out of training without a word."""
    told = first.get("content") if isinstance(first, dict) and first.get("role") == "system" else None
    for name in SYSTEM:
        if isinstance(raw.get(name), str) and raw[name].strip() and raw[name] != told:
            raise fail(
                name, "a system prompt beside the turns; make it the first of them, or give the field another name"
            )


def _prompted(fail: Any, raw: dict[str, Any], asked: str, said: str) -> tuple[Turns, dict[str, Any]]:
    """A prompt that is a list of turns, and a completion that is one too."""
    before, after = _listed(fail, asked, raw[asked]), _listed(fail, said, raw[said])
    _no_system_beside(fail, raw, before[0][1])
    for where, turn in before:
        if isinstance(turn, dict) and turn.get("role") == "assistant":
            what = (
                "all of the assistant's turns are trained on, those of a prompt too; leave them out, or use 'messages'"
            )
            raise fail(where, what)
    return [*before, *after], _rest(raw, asked, said)


def _listed(fail: Any, name: str, turns: Any) -> Turns:
    if not isinstance(turns, list) or not turns:
        raise fail(name, f"expected a non-empty list, found {kind(turns)}")
    return [(f"{name}[{i}]", turn) for i, turn in enumerate(turns)]


def _nothing(fail: Any, raw: dict[str, Any]) -> Any:
    """The error for a row without a conversation."""
    if "text" in raw:
        what = "a text in which roles cannot be told apart; give the turns as 'messages', before any chat template"
        return fail("text", what)
    for pair in PAIRS:
        for name, other in (pair, pair[::-1]):
            if name in raw:
                others = {two[1 - two.index(name)] for two in PAIRS if name in two}
                return fail(" or ".join(sorted(others)), f"missing beside '{name}'{_close(other, raw)}")
    return fail("messages", f"missing{_close('messages', raw) or _found(raw)}")


def _close(name: str, raw: dict[str, Any]) -> str:
    close = nearest(name, raw)
    return close if "did you mean" in close else ""


def _found(raw: dict[str, Any]) -> str:
    found = ", ".join(repr(name) for name in list(raw)[:10]) or "no field"
    return f"; expected {_EXPECTED}; found {found:.200}"


def _rest(raw: dict[str, Any], *used: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in used}
