"""A sandbox for Python that nobody has read: one process tree, no network, no files but its own, and limits.

What it protects against, and what not: docs/sandbox.md. The jail itself is ``inside/jail.py``.
"""

import json
import os
import platform
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

import spillover
from spillover.core.config import Config
from spillover.core.errors import ConfigError, SpilloverError

EXITED, TIMEOUT, OUT_OF_MEMORY = "exited", "timeout", "out-of-memory"
OUTPUT_LIMIT, CRASHED, KILLED = "output-limit", "crashed", "killed"
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGSYS)
INSIDE = Path(__file__).with_name("inside")
"""Scripts that run in or around the jail and are never imported."""
_LINUX = (5, 14)
"""Since then processes are counted for each user namespace."""

_ADVICE = {
    "full": f"Full isolation needs Linux {_LINUX[0]}.{_LINUX[1]} with user namespaces, as an ordinary user, or as root "
    "with CAP_SYS_ADMIN (docs/sandbox.md); isolation='weak' does without, and then a program can read your files",
    "weak": "Where we are root, the program runs as nobody, who must be able to run this interpreter",
}


class SandboxError(SpilloverError, OSError):
    """The sandbox worked before and does not now: the machine has run out of something."""


class Limits(Config):
    """What one run may use. All of it together is at most ``processes`` times ``memory_mb`` of memory."""

    wall_seconds: float = Field(default=10, gt=0)
    cpu_seconds: int = Field(default=5, ge=1)
    """For each process."""
    memory_mb: int = Field(default=512, ge=64)
    """Address space of each process."""
    processes: int = Field(default=8, ge=1)
    """Processes and threads at a time."""
    disk_mb: int = Field(default=16, ge=1)
    """Of the only folder that can be written to, and of each file."""
    open_files: int = Field(default=64, ge=16)
    output_kb: int = Field(default=256, ge=1)
    """Of standard output and of standard error; who prints more is stopped."""


@dataclass(frozen=True)
class Job:
    """A program: files by name, all in one folder, and which of them is run."""

    files: Mapping[str, str]
    main: str


@dataclass(frozen=True)
class Run:
    """How a program ended, and what it printed."""

    outcome: str
    """``exited``, ``timeout``, ``out-of-memory``, ``output-limit``, ``crashed`` or ``killed``."""
    status: int | None
    """The exit status; minus the signal's number for one that was killed; None if it was stopped by us."""
    output: str
    errors: str
    seconds: float = field(compare=False)


class Sandbox:
    """Runs programs, several at a time.

    Args:
        limits: Of each run.
        isolation: ``full``; or ``weak``, which must be asked for: limits, another user where we are root, and on Linux
            no sockets; but files can be read, processes may survive, and memory and disk are bounded less well.
        workers: Runs at a time; all processors if None.

    Raises:
        ConfigError: The system does not permit full isolation; the message says what is missing.
    """

    def __init__(
        self, limits: Limits | None = None, isolation: Literal["full", "weak"] = "full", workers: int | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.isolation = isolation
        self.workers = workers or os.cpu_count() or 1
        self._mountpoint = tempfile.TemporaryDirectory(prefix="spillover-root-", ignore_cleanup_errors=True)
        missing = _missing() if isolation == "full" else None
        if missing is None:
            try:
                self.run(Job({"main.py": ""}, "main.py"))
            except SandboxError as error:
                missing = str(error)
        if missing is not None:
            raise ConfigError(f"sandbox: {missing}. {_ADVICE[isolation]}")

    def run(self, job: Job) -> Run:
        """Run one program to its end, or to a limit.

        Raises:
            SandboxError: The sandbox could not be made.
        """
        began = time.monotonic()
        box = nullcontext("/box") if self.isolation == "full" else tempfile.TemporaryDirectory(prefix="spillover-box-")
        with box as folder:
            told, outputs, stopped = self._converse(self._order(job, folder), began + self.limits.wall_seconds)
        if "error" in told:
            raise SandboxError(str(told["error"]))
        if "status" not in told and stopped is None:
            stopped = KILLED
        texts = [output.decode("utf-8", "replace") for output in outputs]
        outcome = stopped or self._outcome(told, texts[1])
        return Run(outcome, None if stopped else told["status"], texts[0], texts[1], time.monotonic() - began)

    def run_all(self, jobs: Iterable[Job]) -> list[Run]:
        """Run many programs, ``workers`` at a time; the results are in the order of the jobs.

        Raises:
            SandboxError: The sandbox could not be made.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self.run, jobs))

    def _order(self, job: Job, box: str) -> bytes:
        full = self.isolation == "full"
        order: dict[str, Any] = self.limits.model_dump() | {"files": dict(job.files), "main": job.main, "box": box}
        order |= {"full": full, "python": _python(), "mountpoint": self._mountpoint.name}
        if full:
            order |= {"visible": _visible(), "hidden": _hidden()}
        return json.dumps(order).encode()

    def _converse(self, order: bytes, deadline: float) -> tuple[dict[str, Any], list[bytes], str | None]:
        """Start the jail and read until all is closed: its report, both outputs, and why it was stopped if it was."""
        reader, writer = os.pipe()
        with open(reader, "rb", buffering=0) as report:
            try:
                process = subprocess.Popen(
                    [_python(), "-I", "-S", "-B", str(INSIDE / "jail.py"), str(writer)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(writer,),
                    start_new_session=True,
                    env={},
                )
            except OSError as error:
                raise SandboxError(f"no process could be started ({error.strerror})") from None
            finally:
                os.close(writer)
            with process:
                try:
                    assert process.stdin and process.stdout and process.stderr
                    _send(process.stdin, order)
                    pipes = [report, process.stdout, process.stderr]
                    contents, stopped = _read(pipes, deadline, self.limits.output_kb * 1024)
                finally:
                    self._end(process)
        told = json.loads(contents[0].partition(b"\n")[0] or b"{}")
        if not told and process.returncode != 0 and stopped is None:
            told = {"error": f"the jail did not start ({contents[2].decode('utf-8', 'replace').strip()[-200:]})"}
        return told, contents[1:], stopped

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Take the whole tree down; on SIGTERM the jail kills its namespace and waits for its end."""
        if self.isolation == "full":
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _outcome(self, told: Mapping[str, Any], errors: str) -> str:
        status = told["status"]
        if status == -signal.SIGXCPU or (status == -signal.SIGKILL and told["cpu"] >= self.limits.cpu_seconds):
            return TIMEOUT
        if status < 0:
            return CRASHED if -status in _CRASHES else KILLED
        return OUT_OF_MEMORY if status != 0 and "MemoryError" in errors[-2000:] else EXITED


def _send(pipe: Any, order: bytes) -> None:
    with suppress(BrokenPipeError):  # it has ended already, and what it printed says why
        pipe.write(order)
        pipe.close()


def _read(pipes: list[Any], deadline: float, most: int) -> tuple[list[bytes], str | None]:
    """The content of pipes, each up to ``most`` bytes, until all are closed or the deadline has passed."""
    contents = {pipe.fileno(): bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as selector:
        for number in contents:
            selector.register(number, selectors.EVENT_READ)
        stopped = None
        while selector.get_map() and stopped is None:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            for key, _ in ready:
                chunk = os.read(key.fd, 65536)
                contents[key.fd] += chunk[: most - len(contents[key.fd])]
                if not chunk:
                    selector.unregister(key.fd)
                elif len(contents[key.fd]) >= most:
                    stopped = OUTPUT_LIMIT
            if time.monotonic() >= deadline:
                stopped = TIMEOUT
    return [bytes(content) for content in contents.values()], stopped


def _missing() -> str | None:
    """What full isolation lacks here; None if it can be tried."""
    if sys.platform != "linux":
        return f"there are no namespaces on {platform.system()}"
    if platform.machine() not in ("x86_64", "aarch64"):
        return f"there is no system call filter for {platform.machine()}"
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    return f"Linux {platform.release()} is too old" if release < _LINUX else None


@cache
def _python() -> str:
    """The interpreter itself, outside any virtual environment."""
    return os.path.realpath(sys.executable)


@cache
def _visible() -> list[str]:
    """Files and folders that a program sees: what the interpreter needs."""
    places = ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache"]
    prefix = os.path.realpath(sys.base_prefix)
    if not prefix.startswith("/usr"):
        places.append(prefix)
    return [place for place in places if os.path.lexists(place)]


@cache
def _hidden() -> list[str]:
    """Folders within these that it must not see: installed packages, and above all this one with its problems."""
    roots = {Path("/usr"), Path("/usr/local"), Path(os.path.realpath(sys.base_prefix))}
    found = {path for root in roots for path in root.glob("lib*/python*/*-packages")}
    return sorted({str(path.resolve()) for path in (*found, Path(spillover.__file__).parent)})
