"""``spillover experiments``: what can be run."""


def experiments() -> None:
    """List the experiments of the catalogue."""
    from rich.console import Console
    from rich.table import Table

    from spillover.experiments.catalogue import CATALOGUE

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, make in CATALOGUE.items():
        planned = make()
        papers = ", ".join(f"arXiv {source.arxiv}" for source in planned.source)
        table.add_row(name, f"{planned.question} [dim]({papers})[/dim]")
    Console().print(table)
