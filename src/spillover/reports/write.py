"""Write everything a reader of a run looks at."""

from pathlib import Path

from spillover.data.files import write_text
from spillover.reports.read import read_run


def write_report(run_dir: Path) -> Path:
    """Write ``report.html``, ``figures/`` and ``tables/`` into a run directory.

    Args:
        run_dir: Holds ``results.json``, ``provenance.json`` and ``transcripts.jsonl``.

    Returns:
        Path of the page: one file that fetches nothing.

    Raises:
        DataError: One of the files is missing or damaged.
        StorageError: The directory cannot be written.
    """
    from spillover.reports.figures import write_figures
    from spillover.reports.page import page
    from spillover.reports.tables import write_tables

    run = read_run(run_dir)
    write_tables(run.results, run_dir / "tables")
    write_figures(run.results, run_dir / "figures")
    path = run_dir / "report.html"
    write_text(path, page(run))
    return path
