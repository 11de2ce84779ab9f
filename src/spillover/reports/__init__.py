"""A run directory as one HTML page, figures, tables and a few lines in the terminal."""

from spillover.reports.write import write_report

__all__ = ["write_report"]
