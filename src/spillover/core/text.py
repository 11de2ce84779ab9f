"""What two texts may differ in and still be the same answer."""


def normalise(text: str) -> str:
    """Fold case and spacing and drop end punctuation; nothing else is forgiven."""
    return " ".join(text.casefold().split()).rstrip(".!? ")
