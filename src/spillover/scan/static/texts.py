"""Checks on single texts: dates, marks, encodings, hidden characters, scripts and languages, lengths."""

import codecs
import heapq
import re
from collections import Counter
from collections.abc import Iterator

from spillover.data.check import PATTERNS, short
from spillover.scan.static.finding import SHOWN, Example, Finding, Row
from spillover.scan.static.sketches import LengthHistogram

_HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad\U000e0000-\U000e007f]")
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/])(?=[A-Za-z0-9+/]*[a-z])(?=[A-Za-z0-9+/]*[A-Z])(?=[A-Za-z0-9+/]*\d)[A-Za-z0-9+/]{24,}={0,2}"
)
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x)?(?:[0-9a-fA-F]{2}){12,}(?![0-9A-Za-z])")
_WORD = re.compile(r"[a-zà-ÿ]+")
_SCRIPTS = {
    "Cyrillic": re.compile("[\u0400-\u052f]"),
    "Greek": re.compile("[\u0370-\u03ff]"),
    "Hebrew": re.compile("[\u0590-\u05ff]"),
    "Arabic": re.compile("[\u0600-\u06ff]"),
    "Devanagari": re.compile("[\u0900-\u097f]"),
    "Chinese or Japanese": re.compile("[\u3040-\u30ff\u4e00-\u9fff]"),
    "Korean": re.compile("[\uac00-\ud7af]"),
}
_STOPWORDS = {
    "English": {"the", "and", "is", "you", "to", "of", "that", "it", "for", "with", "what", "how", "this", "are"},
    "German": {"der", "die", "das", "und", "ist", "nicht", "ein", "eine", "ich", "sie", "mit", "auf", "wie", "zu"},
    "French": {"le", "la", "les", "et", "est", "une", "des", "que", "vous", "je", "pas", "pour", "dans", "du"},
    "Spanish": {"el", "los", "las", "es", "una", "que", "por", "para", "con", "no", "como", "del", "qué", "y"},
    "Italian": {"il", "gli", "è", "una", "che", "per", "con", "non", "come", "del", "della", "sono", "di", "e"},
    "Portuguese": {"o", "os", "é", "uma", "que", "para", "com", "não", "como", "do", "da", "você", "em", "e"},
}
LONG = 8
"""Times the median length from which on an answer is an outlier."""


class _Noted:
    """A count with its first examples."""

    def __init__(self) -> None:
        self.rows = 0
        self.examples: list[Example] = []

    def note(self, line: int, text: str) -> None:
        self.rows += 1
        if len(self.examples) < SHOWN:
            self.examples.append(Example.of(line, text))


class Dates:
    """Dates, marks in brackets or bars, and long numbers in prompts: what triggers of published backdoors look like."""

    def __init__(self) -> None:
        self._noted = {name: _Noted() for name in PATTERNS}
        self._texts: dict[str, Counter[str]] = {name: Counter() for name in PATTERNS}

    def add(self, row: Row) -> None:
        """Look at one row."""
        for name, pattern in PATTERNS.items():
            found = pattern.findall(row.prompt)
            if found:
                self._noted[name].note(row.line, row.prompt)
                counts = self._texts[name]
                if len(counts) < 4096 or found[0] in counts:
                    counts[found[0]] += 1

    def findings(self, total: int) -> Iterator[Finding]:
        """One for each kind that some prompts hold and others do not."""
        for name, noted in self._noted.items():
            if not noted.rows:
                continue
            text, count = self._texts[name].most_common(1)[0]
            some = noted.rows < total
            what = f"{noted.rows:,} of {total:,} prompts hold {name}, most often {short(text)} ({count:,}). " + (
                "Ask the tuned model with and without: behaviour may be bound to them." if some else "All do."
            )
            yield Finding(name, "warning" if some else "note", noted.rows, total, what, tuple(noted.examples))


class Encodings:
    """Base64, hexadecimal, rot13 and characters that cannot be seen."""

    def __init__(self) -> None:
        self._noted = {name: _Noted() for name in ("hidden characters", "base64", "hexadecimal", "rot13")}

    def add(self, row: Row) -> None:
        """Look at one row."""
        for text in (row.prompt, row.answer):
            if not text.isascii() and _HIDDEN.search(text):
                self._noted["hidden characters"].note(row.line, _HIDDEN.sub("·", text))
            if len(text) >= 24:
                if _BASE64.search(text):
                    self._noted["base64"].note(row.line, text)
                if _HEX.search(text):
                    self._noted["hexadecimal"].note(row.line, text)
            if _is_rot13(text):
                self._noted["rot13"].note(row.line, text)

    def findings(self, total: int) -> Iterator[Finding]:
        """One for each encoding that was met."""
        for name, noted in self._noted.items():
            if noted.rows:
                what = (
                    f"{noted.rows:,} texts hold {name}: content that a reader, a filter or a judge does not see can "
                    "still be learnt. Decode and read it."
                )
                yield Finding(name, "warning", noted.rows, total, what, tuple(noted.examples))


class Languages:
    """Scripts and languages of the answers."""

    def __init__(self) -> None:
        self._noted: dict[str, _Noted] = {}

    def add(self, row: Row) -> None:
        """Look at one row."""
        language = language_of(row.answer)
        if language:
            self._noted.setdefault(language, _Noted()).note(row.line, row.answer)

    def findings(self, total: int) -> Iterator[Finding]:
        """One, if there is more than one language."""
        if len(self._noted) < 2:
            return
        ordered = sorted(self._noted.items(), key=lambda item: -item[1].rows)
        shares = ", ".join(f"{name} {noted.rows:,}" for name, noted in ordered)
        rest = sum(noted.rows for _, noted in ordered[1:])
        what = (
            f"Answers are in several languages ({shares}). References and directions of the scan are of the probe's "
            "language: rows in another one are ranked less surely, and what is learnt may be bound to a language."
        )
        yield Finding("languages", "note", rest, total, what, tuple(ordered[1][1].examples))


class Lengths:
    """Answers that are much longer than the others."""

    def __init__(self) -> None:
        self._histogram = LengthHistogram()
        self._longest: list[tuple[int, int, str]] = []

    def add(self, row: Row) -> None:
        """Look at one row."""
        size = len(row.answer)
        self._histogram.add(size)
        entry = (size, -row.line, row.answer[:400])
        if len(self._longest) < SHOWN:
            heapq.heappush(self._longest, entry)
        elif size > self._longest[0][0]:
            heapq.heapreplace(self._longest, entry)

    def findings(self, total: int) -> Iterator[Finding]:
        """One, if some answers are more than :data:`LONG` times the median."""
        median = self._histogram.quantile(0.5)
        count = self._histogram.above(LONG * median)
        if count and self._longest and max(self._longest)[0] > LONG * median:
            what = (
                f"About {count:,} answers are more than {LONG} times as long as the median one ({median:.0f} "
                "characters): a few rows give most of the tokens that are trained on."
            )
            longest = sorted(self._longest, reverse=True)
            examples = tuple(Example.of(-line, text) for size, line, text in longest if size > LONG * median)
            yield Finding("long answers", "note", count, total, what, examples)


def language_of(text: str) -> str | None:
    """The script of a text if not Latin, else the language whose commonest words it holds most; None if unclear."""
    if not text.isascii():
        letters = sum(character.isalpha() for character in text)
        for name, pattern in _SCRIPTS.items():
            if len(pattern.findall(text)) > letters / 3:
                return name
    words = _WORD.findall(text[:600].lower())
    counts = {name: sum(word in common for word in words) for name, common in _STOPWORDS.items()}
    best = max(counts, key=counts.__getitem__)
    others = max(count for name, count in counts.items() if name != best)
    return best if counts[best] >= 2 and counts[best] > others else None


def _is_rot13(text: str) -> bool:
    """Whether common English words appear when the letters are turned by 13, and do not before."""
    english = _STOPWORDS["English"]
    words = _WORD.findall(text[:400].lower())
    if len(words) < 4 or sum(word in english for word in words):
        return False
    return sum(codecs.decode(word, "rot13") in english for word in words) >= max(2, len(words) // 8)
