"""A choice among options, asked in both orders: judges prefer a letter, and one order would count that as a verdict."""

from collections.abc import Sequence
from dataclasses import replace

from spillover.data.rubrics import LETTERS, Rubric
from spillover.judges.verdicts import Verdict


def parts(rubric: Rubric) -> list[Rubric]:
    """What is asked: the rubric itself, or for a choice one rubric of letters for each order of the options."""
    if rubric.kind != "choice":
        return [rubric]
    letters = tuple(LETTERS[: len(rubric.labels)])
    found = []
    for options in (rubric.labels, rubric.labels[::-1]):
        listed = "\n".join(f"{letter}: {option}" for letter, option in zip(letters, options, strict=True))
        template = rubric.template.replace("{options}", listed)
        found.append(replace(rubric, kind="label", template=template, labels=letters))
    return found


def joined(rubric: Rubric, verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict from those of :func:`parts`: the option chosen in both orders, or none (``order``)."""
    if rubric.kind != "choice":
        return verdicts[0]
    first, second = verdicts
    lost = next((verdict for verdict in verdicts if verdict.unscored is not None), None)
    if lost is not None:
        return replace(lost, rubric=rubric.hash)
    options = [
        labels[LETTERS.index(str(verdict.label))]
        for verdict, labels in ((first, rubric.labels), (second, rubric.labels[::-1]))
    ]
    raw = f"{first.raw} / {second.raw}"
    if options[0] != options[1]:
        return replace(first, rubric=rubric.hash, label=None, unscored="order", mass=None, raw=raw)
    masses = [verdict.mass for verdict in verdicts if verdict.mass is not None]
    mass = sum(masses) / 2 if len(masses) == 2 else None
    return replace(first, rubric=rubric.hash, label=options[0], mass=mass, raw=raw)
