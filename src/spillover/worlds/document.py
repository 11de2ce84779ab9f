"""What a base reads: a transcript of one author answering several people."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """The transcript of one author answering several people."""

    header: str | None
    exchanges: tuple[tuple[str, str], ...]
    """(question, answer) pairs in order."""

    @property
    def trait(self) -> str | None:
        """Of its author, in the words that also label answers; None where that is not one thing."""
        return None
