"""The HTML document around a report's sections: styles and script inside, nothing fetched."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from importlib.resources import files

ASSETS = files(__package__) / "assets"


def document(title: str, sections: Iterable[str], data: str | None = None) -> str:
    """A whole page; empty sections are left out.

    Args:
        title: Plain text.
        sections: HTML, in which every text of a model or of a user is escaped.
        data: JSON that cannot end its script element; with it come the script that shows it, and images.
    """
    style = (ASSETS / "style.css").read_text(encoding="utf-8")
    allowed, scripts = "", ""
    if data is not None:
        script = (ASSETS / "app.js").read_text(encoding="utf-8")
        allowed = f"script-src '{_hash(script)}'; img-src data:; "
        scripts = f'<script type="application/json" id="data">{data}</script><script>{script}</script>'
    policy = f"default-src 'none'; style-src '{_hash(style)}'; {allowed}base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · Spillover</title><style>{style}</style></head><body><main>"
        + "\n".join(section for section in sections if section)
        + f"</main>{scripts}</body></html>\n"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
