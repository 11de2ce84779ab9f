"""Stages for tests: they count, slowly if asked to, and can fail in every way."""

import os
import time


def count(config, inputs, out, report):
    """Write the sum of the inputs' numbers and one's own."""
    total = config["add"] + sum(int((folder / "number").read_text()) for folder in inputs.values())
    time.sleep(config.get("seconds", 0))
    report(1, 1)
    (out / "number").write_text(str(total))


def fail(config, inputs, out, report):
    """Fail as ``config["how"]`` says."""
    from spillover.core.errors import DataError

    if config["how"] == "user":
        raise DataError.at("rows.jsonl", 3, "messages", "missing")
    if config["how"] == "bug":
        raise ZeroDivisionError("oh")
    if config["how"] == "full":
        raise OSError(28, "No space left on device")
    os._exit(9)
