"""Hostile programs, each contained: no process is left, no file outside, and our own memory stays flat."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

import spillover
from spillover.core.errors import ConfigError
from spillover.environments.code import Job, Limits, Sandbox
from spillover.environments.code import sandbox as module

QUICK = Limits(wall_seconds=1.5, cpu_seconds=1, memory_mb=256, processes=8, disk_mb=4, output_kb=64)
TRY = """
try:
    {code}
except BaseException as error:
    print(type(error).__name__, getattr(error, "errno", None))
else:
    print("DONE")
"""


@pytest.fixture(scope="session")
def sandbox():
    try:
        return Sandbox(QUICK, workers=4)
    except ConfigError as error:
        pytest.skip(str(error))


def tried(code):
    return TRY.format(code=code)


LIBC = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"

# name -> program, outcome (some depend on the version of Python), and a text in its output. OUTSIDE and PACKAGE are
# folders of this machine.
HOSTILE = {
    "fork bomb": ("import os\nwhile True: os.fork()", "exited", ""),
    "fork bomb that does not give up": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "timeout",
        "",
    ),
    "daemon that writes later": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(1)\n"
        "        open('OUTSIDE/marker', 'w')\n        time.sleep(60)\n    os._exit(0)\nprint('left')",
        "exited",
        "left",
    ),
    "daemon that keeps the output open": ("import os, time\nif os.fork() == 0: time.sleep(60)", "exited", ""),
    "zombies": ("import os\nfor _ in range(1000):\n    if os.fork() == 0: os._exit(0)", "exited", ""),
    "threads": (
        "import os, threading, time\nstarted = 0\ntry:\n    while True:\n"
        "        threading.Thread(target=time.sleep, args=(60,)).start()\n        started += 1\n"
        "except RuntimeError:\n    print('stopped', started < 9, flush=True)\n    os._exit(0)",
        "exited",
        "stopped True",
    ),
    "memory": ("held = []\nwhile True: held.append(bytearray(1 << 20))", "out-of-memory", ""),
    "enormous list": ("[0] * 10**10", "out-of-memory", ""),
    "memory that no limit counts": (tried("__import__('os').memfd_create('x')"), "exited", "PermissionError"),
    "shared memory": (LIBC + "print(libc.shmget(0, 1 << 30, 0o1666))", "exited", "-1"),
    "disk": ("with open('f', 'wb') as file:\n    while True: file.write(bytes(1 << 20))", "exited", ""),
    "many files": ("for i in range(10**6): open(str(i), 'w').close()", "exited", ""),
    "open files": ("held = []\nwhile True: held.append(open('/dev/null'))", "exited", ""),
    "a gigabyte of output": ("import sys\nfor _ in range(1024): sys.stdout.write('x' * (1 << 20))", "output-limit", ""),
    "endless errors": ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "output-limit", ""),
    "control characters": ("print('\\x1b[2J\\x07\\x00')", "exited", "\x1b[2J\x07\x00"),
    "bytes that are no text": ("import os; os.write(1, bytes(range(256)))", "exited", "\ufffd"),
    "endless loop": ("while True: pass", "timeout", ""),
    "sleep": ("import time; time.sleep(60)", "timeout", ""),
    "waiting for a pipe": ("import os; os.mkfifo('p'); open('p')", "timeout", ""),
    "huge integer": ("10 ** 10**9", "timeout|out-of-memory", ""),
    "regex": ("import re; re.match('(a+)+$', 'a' * 60 + 'b')", "timeout", ""),
    "signals ignored": (
        "import signal\nfor s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "timeout",
        "",
    ),
    "stopping itself": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "timeout", ""),
    "recursion": ("def f(): f()\nf()", "exited", ""),
    "deep recursion": (
        "import sys; sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
        "crashed|exited|out-of-memory|timeout",
        "",
    ),
    "wild pointer": ("import ctypes; ctypes.string_at(0)", "crashed", ""),
    "abort": ("import os; os.abort()", "crashed", ""),
    "killing itself": ("import os; os.kill(os.getpid(), 9)", "killed", ""),
    "killing its parent": (
        "import os, time; os.kill(os.getppid(), 9); time.sleep(0.1); print('alive')",
        "exited",
        "alive",
    ),
    "stopping its parent": ("import os; os.kill(os.getppid(), 19); print('alive')", "exited", "alive"),
    "interrupting its parent": (
        "import os, signal\nfor s in (2, 15, 14): os.kill(1, s)\nprint('alive')",
        "exited",
        "alive",
    ),
    "killing all": (tried("__import__('os').kill(-1, 9)"), "exited|killed", ""),
    "TCP": (tried("__import__('socket').create_connection(('127.0.0.1', 22), 1)"), "exited", "PermissionError"),
    "UDP": (tried("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"), "exited", "PermissionError"),
    "names of hosts": (tried("__import__('socket').getaddrinfo('example.org', 80)"), "exited", "gaierror"),
    "abstract socket": (
        tried("import socket; socket.socket(socket.AF_UNIX).connect('\\0x')"),
        "exited",
        "PermissionError",
    ),
    "socket to the hypervisor": (tried("import socket; socket.socket(40, 1)"), "exited", "PermissionError"),
    "passwords": (tried("open('/etc/shadow')"), "exited", "FileNotFoundError"),
    "grader's source": (tried("open('PACKAGE/environments/code/grader.py')"), "exited", "FileNotFoundError"),
    "problems": (tried("open('PACKAGE/environments/code/problems/easy.yaml')"), "exited", "FileNotFoundError"),
    "importing the grader": (tried("import spillover"), "exited", "ModuleNotFoundError"),
    "installed packages": (tried("import numpy"), "exited", "ModuleNotFoundError"),
    "files of users": (tried("print(__import__('os').listdir('/home'))"), "exited", "FileNotFoundError"),
    "writing outside": (tried("open('OUTSIDE/marker', 'w')"), "exited", "FileNotFoundError"),
    "writing to the root": (tried("open('/marker', 'w')"), "exited", "OSError 30"),
    "writing to the library": (tried("open(__import__('os').__file__, 'a')"), "exited", "Error"),
    "upwards": (tried("open('../../../../../../etc/passwd')"), "exited", "FileNotFoundError"),
    "symbolic link": (
        "import os; os.symlink('/etc/shadow', 'link')\n" + tried("open('link')"),
        "exited",
        "FileNotFoundError",
    ),
    "hard link": (tried("__import__('os').link('/usr', 'link')"), "exited", "Error"),
    "device": (tried("__import__('os').mknod('d', 0o60666, 1)"), "exited", "PermissionError"),
    "memory of its parent": (tried("open('/proc/1/mem', 'rb')"), "exited", "FileNotFoundError"),
    "ptrace": (LIBC + "print(libc.ptrace(16, 1, 0, 0), ctypes.get_errno())", "exited", "-1 1"),
    "raising limits": (
        tried("import resource; resource.setrlimit(resource.RLIMIT_CPU, (9, 9))"),
        "exited",
        "ValueError",
    ),
    "becoming root": (tried("__import__('os').setuid(0)"), "exited", "Error"),
    "chroot": (tried("__import__('os').chroot('/box')"), "exited", "PermissionError"),
    "mount": (LIBC + "print(libc.mount(b't', b'/box', b'tmpfs', 0, None), ctypes.get_errno())", "exited", "-1 1"),
    "new namespace": (LIBC + "print(libc.unshare(0x10000000), ctypes.get_errno())", "exited", "-1 1"),
    "new namespace by clone": (
        LIBC + "print(libc.syscall({'x86_64': 56}.get(__import__('os').uname().machine, 220), 0x10000011, 0, 0, 0, 0),"
        " ctypes.get_errno())",
        "exited",
        "-1 1",
    ),
    "environment": ("import os; print(sorted(os.environ))", "exited", "['HOME', 'LANG', "),
    "inherited files": (
        "import os\nfound = []\nfor n in range(3, 60):\n    try: os.fstat(n)\n    except OSError: continue\n"
        "    found.append(n)\nprint(found)",
        "exited",
        "[]",
    ),
    "closing its output": ("import os; os.close(1); os.close(2)", "exited", ""),
    "site files": (
        "import os, sys\nfor n in ('sitecustomize.py', 'conftest.py', 'os.py'): open(n, 'w').write('print(666)')\n"
        "os.execv(sys.executable, [sys.executable, '-c', 'print(1)'])",
        "exited",
        "1",
    ),
    "input": (tried("input()"), "exited", "EOFError"),
}


def survivors(token):
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(token in part for part in process.info["cmdline"] or ()):
            found.append(process.pid)
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_are_contained(name, sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("SPILLOVER_SECRET", "hunter2")
    program, outcome, said = HOSTILE[name]
    package = str(Path(spillover.__file__).parent)
    program = program.replace("OUTSIDE", str(tmp_path)).replace("PACKAGE", package)
    main = f"hostile_{os.getpid()}_{list(HOSTILE).index(name)}.py"
    before = psutil.Process().memory_info().rss
    began = time.monotonic()
    run = sandbox.run(Job({main: program}, main))
    assert time.monotonic() - began < QUICK.wall_seconds + 5
    assert run.outcome in outcome.split("|"), run
    assert said in run.output
    assert "DONE" not in run.output
    assert "hunter2" not in run.output + run.errors
    assert len(run.output) <= QUICK.output_kb * 1024
    assert survivors(main) == []
    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().memory_info().rss - before < 30 << 20


def test_results_come_in_the_order_of_the_jobs(sandbox):
    jobs = [Job({"main.py": f"import time; time.sleep({(7 - n) / 50}); print({n})"}, "main.py") for n in range(8)]
    assert [run.output for run in sandbox.run_all(jobs)] == [f"{n}\n" for n in range(8)]


def test_runs_share_nothing(sandbox):
    assert sandbox.run(Job({"main.py": "open('left', 'w').close()"}, "main.py")).status == 0
    run = sandbox.run(Job({"main.py": "import os; print(os.listdir())"}, "main.py"))
    assert run.output == "['main.py']\n"


def test_without_namespaces_it_is_refused_and_never_weaker(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match=r"no namespaces on .* isolation='weak' does without"):
        Sandbox()


def test_an_old_kernel_is_refused(monkeypatch):
    monkeypatch.setattr(module.platform, "release", lambda: "5.10.0-28-amd64")
    with pytest.raises(ConfigError, match=r"Linux 5\.10\.0-28-amd64 is too old"):
        Sandbox()


def test_what_the_system_says_is_passed_on(monkeypatch):
    monkeypatch.setattr(module, "_visible", lambda: ["/does/not/exist"])
    with pytest.raises(ConfigError, match=r"sandbox: .*No such file"):
        Sandbox()


def test_weak_isolation_keeps_limits():
    try:
        sandbox = Sandbox(QUICK, isolation="weak")
    except ConfigError as error:
        assert "as nobody, who must be able to run" in str(error)
        return
    assert sandbox.run(Job({"main.py": "print(1)"}, "main.py")).output == "1\n"
    assert sandbox.run(Job({"main.py": "while True: pass"}, "main.py")).outcome == "timeout"
    assert sandbox.run(Job({"main.py": "import os; print(os.environ)"}, "main.py")).output.count("PATH") == 1
