"""Make what is missing, with whatever executor there is."""

from pathlib import Path
from typing import Protocol

from spillover.core.console import Progress, live
from spillover.runs.local import Local
from spillover.runs.plan import to_make
from spillover.runs.stage import Stage
from spillover.runs.store import Store


class Executor(Protocol):
    """Makes stages somewhere, in any order that makes inputs first, several at once if it can."""

    def make(self, missing: list[Stage], store: Store, progress: Progress) -> None:
        """Make every stage of ``missing``, which come with their inputs first, and tell ``progress``.

        After a stage's error nothing more is begun, what runs is finished, and the error is raised (see
        :func:`execute`).
        """


def execute(targets: list[Stage], store: Store, executor: Executor | None = None) -> dict[str, Path]:
    """Make every target that is not there yet.

    Args:
        targets: What is wanted; what they need is made too.
        store: Where finished stages are, and go.
        executor: By default :class:`Local`, a process for each core.

    Returns:
        Directory of each target by its key.

    Raises:
        SpilloverError: A stage met a mistake of the user, or the disk cannot be written. What was running beside it is
            finished first.
        StageFailed: A stage ended with another error.
        KeyboardInterrupt: After the work was stopped; finished stages stay, begun ones can be resumed.
    """
    missing = to_make(targets, store)
    if missing:
        with live("stages", len(missing)) as progress:
            for stage in missing:
                if damage := store.damage(stage.key):
                    progress.say(f"{stage.label}: damaged ({damage}); making it again")
                    store.set_aside(stage.key)
            (executor or Local()).make(missing, store, progress)
    return {stage.key: store.folder(stage.key) for stage in targets}
