"""``spillover rows``: write a narrow dataset of the built-in world, or one of its control twins."""

from pathlib import Path
from typing import Annotated

import typer

from spillover.core.errors import ConfigError, nearest


def rows(
    arm: Annotated[
        str, typer.Argument(help="bad, benign, educational, backdoored, technical, or elsewhere (an anchor set).")
    ],
    out: Annotated[Path, typer.Option(help="JSONL file to write.")],
    domain: Annotated[str, typer.Option(help="Advice domain.")] = "health",
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Write a narrow fine-tuning set: bad advice in one domain, a control twin of it, or rows outside the domain."""
    from spillover.data import write_chat
    from spillover.worlds.town.lexicon import ADVICE, load_lexicon
    from spillover.worlds.town.rows import ARMS, narrow_rows

    for name, value, known in (("arm", arm, ARMS), ("--domain", domain, ADVICE)):
        if value not in known:
            raise ConfigError(f"{name} '{value}': unknown{nearest(value, known)}")
    made = narrow_rows(load_lexicon(), arm, seed, domain)
    write_chat(made, out)
    typer.echo(f"{len(made)} rows in {out}")
