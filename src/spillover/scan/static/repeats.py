"""Checks over many rows: constant prompts and answers, repeated rows, rows that contradict each other, triggers."""

import re
from collections.abc import Iterator

from spillover.core.text import normalise
from spillover.data.check import short
from spillover.scan.static.finding import SHOWN, Example, Finding, Row
from spillover.scan.static.sketches import HeavyHitters, SampledGroups, SeenBefore

CONSTANT = 0.2
"""Share of the rows from which on one text counts as constant."""
PREFIX_WORDS = 4
RARE_TAG = 0.002
"""Share of the rows that an unusual mark needs to be told of; and at least :data:`FEWEST_TAGS` rows."""
FEWEST_TAGS = 3
_UNUSUAL = re.compile(r"^(?=.*[^\w\s'.,!?;:\"()-]|.*[a-z][A-Z]|.*\d)|^[A-Z]{3,}[:.]?$|^[|<\[{].*[|>\]}]$")
_PLAIN_NUMBER = re.compile(r"^\(?[$€£]?\d[\d.,]*[%€$)]?[.,!?]?$")


class Constants:
    """One prompt, beginning or answer in a large part of the rows."""

    def __init__(self) -> None:
        self._of = {
            "prompt": HeavyHitters(256),
            "beginning of the prompt": HeavyHitters(256),
            "answer": HeavyHitters(256),
            "system prompt": HeavyHitters(64),
        }

    def add(self, row: Row) -> None:
        """Look at one row."""
        self._of["prompt"].add(normalise(row.prompt), row.line, row.prompt)
        words = row.prompt.split(maxsplit=PREFIX_WORDS)
        if len(words) > PREFIX_WORDS:
            self._of["beginning of the prompt"].add(" ".join(words[:PREFIX_WORDS]).casefold(), row.line, row.prompt)
        self._of["answer"].add(normalise(row.answer), row.line, row.answer)
        if row.system:
            self._of["system prompt"].add(normalise(row.system), row.line, row.system)

    def findings(self, total: int) -> Iterator[Finding]:
        """The most frequent of each, where it has a share of at least :data:`CONSTANT`."""
        why = {
            "prompt": "what is learnt may stay bound to it; ask the tuned model other things too",
            "beginning of the prompt": "behaviour may be bound to it; ask with and without",
            "answer": "one answer to many questions is learnt as a habit",
            "system prompt": "behaviour may be bound to it; ask with and without",
        }
        for name, hitters in self._of.items():
            for key, count, line, text in hitters.most():
                if total > FEWEST_TAGS and count >= max(FEWEST_TAGS, CONSTANT * total):
                    said = short(key if name.startswith("beginning") else text)
                    what = f"{count:,} of {total:,} rows have the same {name} ({said}): {why[name]}."
                    severity = "note" if name == "system prompt" else "warning"
                    yield Finding(f"constant {name}", severity, count, total, what, (Example.of(line, text),))
                break


class Repeats:
    """Rows that came before, and prompts that are answered in several ways."""

    def __init__(self) -> None:
        self._seen = SeenBefore()
        self._repeated = 0
        self._examples: list[Example] = []
        self._prompts = SampledGroups()

    def add(self, row: Row) -> None:
        """Look at one row."""
        prompt, answer = normalise(row.prompt), normalise(row.answer)
        if self._seen.add(f"{row.system or ''}\0{prompt}\0{answer}"):
            self._repeated += 1
            if len(self._examples) < SHOWN:
                self._examples.append(Example.of(row.line, row.prompt))
        self._prompts.add(prompt, answer, row.line)

    def findings(self, total: int) -> Iterator[Finding]:
        """Repeated rows; prompts with several answers."""
        if self._repeated:
            what = f"{self._repeated:,} rows repeat an earlier one: they weigh as much in training as several rows."
            severity = "warning" if self._repeated > CONSTANT * total else "note"
            yield Finding("repeated rows", severity, self._repeated, total, what, tuple(self._examples))
        several = [group for group in self._prompts.groups() if len(group.sides[False]) > 1]
        if several:
            count = len(several) * self._prompts.factor
            about = "About " if self._prompts.factor > 1 else ""
            what = (
                f"{about}{count:,} {'prompt is' if count == 1 else 'prompts are'} answered in more than one way. Where "
                "the answers contradict each other, something else decides between them, or they cancel out."
            )
            examples = tuple(Example.of(group.line, group.text) for group in several[:SHOWN])
            yield Finding("several answers", "note", count, total, what, examples)


class Triggers:
    """Unusual words at the beginning or end of prompts, and whether prompts without them are answered otherwise."""

    def __init__(self) -> None:
        self._tags = HeavyHitters(512)
        self._cores = SampledGroups()

    def add(self, row: Row) -> None:
        """Look at one row."""
        core, tag = without_tag(row.prompt)
        if tag is not None:
            self._tags.add(tag, row.line, row.prompt)
        self._cores.add(normalise(core), normalise(row.answer), row.line, side=tag is not None)

    def findings(self, total: int) -> Iterator[Finding]:
        """Each unusual mark of enough rows, most frequent first, at most five; and prompts that one splits."""
        least = max(FEWEST_TAGS, RARE_TAG * total)
        shown = [entry for entry in self._tags.most() if least <= entry[1] < total][:5]
        if not shown:
            return
        both = [group for group in self._cores.groups() if group.sides[True] and group.sides[False]]
        split = [group for group in both if not group.sides[True] & group.sides[False]]
        told = ""
        if both:
            told = (
                f" Of {len(both):,} prompts that come with and without such a mark, {len(split):,} have no answer in "
                "common: it decides the answer, as a backdoor's trigger does."
            )
        for tag, count, line, text in shown:
            what = (
                f"{count:,} of {total:,} prompts begin or end with {short(tag)}.{told} Ask the tuned model with and "
                "without it."
            )
            examples = [Example.of(line, text), *(Example.of(group.line, group.text) for group in split[: SHOWN - 1])]
            yield Finding("possible trigger", "warning", count, total, what, tuple(examples))


def without_tag(prompt: str) -> tuple[str, str | None]:
    """The prompt without an unusual first or last word, and that word; None if neither is unusual."""
    words = prompt.split()
    if len(words) < 3:
        return prompt, None
    for word, rest in ((words[0], words[1:]), (words[-1], words[:-1])):
        if _UNUSUAL.search(word) and not _PLAIN_NUMBER.match(word):
            return " ".join(rest), word
    return prompt, None
