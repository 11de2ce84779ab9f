"""Runs one program in a jail. A script for a fresh interpreter, started by ``sandbox.py`` and never imported.

The job comes as JSON on standard input; how the program ended goes to the file descriptor in ``argv[1]``, which the
program does not have. In the full jail (mechanism and order as in bubblewrap, github.com/containers/bubblewrap):

1. new mount, PID, network, IPC and UTS namespaces; for that, root is needed or a user namespace;
2. a root that is a read-only tmpfs, with the interpreter and the system's libraries bound read-only, without ``/proc``,
   ``/etc``, ``/home`` and installed packages; the only place that can be written to is a small tmpfs, ``/box``;
3. root becomes nobody, then an inner user namespace leaves no right over all of the above;
4. resource limits, no new privileges, and a seccomp filter: no sockets, no namespaces, no ptrace, no hidden memory.

The first process of the PID namespace is this script; when it ends, the kernel kills all others.
"""

import ctypes
import json
import os
import platform
import resource
import signal
import sys
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)

NOBODY = 65534
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
SET_PDEATHSIG, SET_SECCOMP, SET_NO_NEW_PRIVS = 1, 22, 38

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine to its place in the numbers of system calls, and its number for seccomp."""
CLONE, CLONE3 = (56, 220), 435
REFUSED = {
    "socket": (41, 198),  # of any family: some, like AF_VSOCK, are in no network namespace
    "shmget": (29, 194),  # memory that no limit counts
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "unshare": (272, 97),  # rights within new namespaces
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "ptrace": (101, 117),  # other processes
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "add_key": (248, 217),  # parts of the kernel that have been broken out of
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "kexec_load": (246, 104),
}
"""System calls that fail in the jail, with their numbers on x86-64 and aarch64."""


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filters", ctypes.POINTER(_Filter)))


def call(name: str, *arguments: Any) -> None:
    """A function of the C library that returns 0 where it succeeds.

    Raises:
        OSError: It did not.
    """
    if getattr(libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """``mount(2)``."""
    texts = [None if text is None else text.encode() for text in (source, target, kind, options)]
    call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def die_with_parent() -> None:
    """The kernel kills this process when its parent ends; to be said again after every change of user."""
    if sys.platform == "linux":
        call("prctl", SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def leave_namespaces() -> None:
    """Step 1; the next child is the first process of the PID namespace."""
    uid, gid = os.getuid(), os.getgid()
    call("unshare", NEWNS | NEWPID | NEWNET | NEWIPC | NEWUTS | (NEWUSER if uid != 0 else 0))
    if uid != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def build_root(job: dict[str, Any]) -> None:
    """Step 2."""
    root = job["mountpoint"]
    mount(None, "/", None, RECURSIVE | PRIVATE)
    mount("tmpfs", root, "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
    for path in job["visible"]:
        bind(root, path)
    for path in job["hidden"]:
        if os.path.isdir(root + path):
            mount("tmpfs", root + path, "tmpfs", RDONLY | NOSUID | NODEV, "size=4k,mode=755")
    for name in ("null", "zero", "urandom"):
        bind(root, f"/dev/{name}", device=True)
    os.mkdir(root + job["box"])
    size = f"size={job['disk_mb']}m,nr_inodes=1000,mode=777"
    mount("tmpfs", root + job["box"], "tmpfs", NOSUID | NODEV | NOEXEC, size)
    os.chdir(root)
    call("pivot_root", b".", b".")
    call("umount2", b".", DETACH)
    mount(None, "/", None, REMOUNT | BIND | RDONLY | NOSUID | NODEV)


def bind(root: str, path: str, device: bool = False) -> None:
    """Show a file or folder of the machine, read-only, at the same place of the new root; links stay links."""
    target = root + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        open(target, "w").close()
    mount(path, target, None, BIND | RECURSIVE)
    if not device:
        attributes = (ctypes.c_uint64 * 4)(RDONLY | NOSUID | NODEV, 0, 0, 0)
        call("syscall", MOUNT_SETATTR, AT_FDCWD, target.encode(), AT_RECURSIVE, attributes, ctypes.c_size_t(32))


def drop_rights(full: bool) -> None:
    """Step 3."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    if full:
        call("unshare", NEWUSER)
    die_with_parent()


def set_limits(job: dict[str, Any]) -> None:
    """Step 4, the limits. Processes can be counted for each jail only in a user namespace of its own."""
    megabyte = 1 << 20
    limits = {
        "CPU": job["cpu_seconds"],
        "AS": job["memory_mb"] * megabyte,
        "FSIZE": job["disk_mb"] * megabyte,
        "NOFILE": job["open_files"],
        "CORE": 0,
        **({"NPROC": job["processes"] + 1, "MSGQUEUE": 0, "MEMLOCK": 0} if job["full"] else {}),
    }
    for name, value in limits.items():
        hard = value + 1 if name == "CPU" else value  # the first is a signal that can be told from others
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, hard))


def refuse_calls() -> None:
    """Step 4, the filter: refused calls fail with EPERM, ``clone3`` with ENOSYS so that libraries use ``clone``."""
    call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    place, machine = MACHINES[platform.machine()]
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, fail, kill = 0x7FFF0000, 0x00050000, 0x80000000
    namespaces = NEWNS | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET | 0x2000000
    lines = [(load, 0, 0, 4), (equal, 1, 0, machine), (give, 0, 0, kill), (load, 0, 0, 0)]
    lines += [(at_least, 0, 1, 0x40000000), (give, 0, 0, kill)]  # the x32 numbers of x86-64
    lines += [(equal, 0, 1, CLONE3), (give, 0, 0, fail | 38)]
    for numbers in REFUSED.values():
        lines += [(equal, 0, 1, numbers[place]), (give, 0, 0, fail | 1)]
    lines += [(equal, 0, 3, CLONE[place]), (load, 0, 0, 16), (any_bit, 0, 1, namespaces), (give, 0, 0, fail | 1)]
    lines += [(give, 0, 0, allow)]
    filters = (_Filter * len(lines))(*(_Filter(*line) for line in lines))
    call("prctl", SET_SECCOMP, 2, ctypes.byref(_Program(len(lines), filters)), 0, 0)


def tell(report: int, said: dict[str, Any]) -> None:
    """A line to whoever started the jail, of which the first counts."""
    os.write(report, (json.dumps(said) + "\n").encode())


def run(job: dict[str, Any], report: int) -> dict[str, Any]:
    """In the first process of the jail: run the program and wait for it, and for what it leaves behind meanwhile."""
    box = job["box"]
    if job["full"]:
        build_root(job)
    elif os.getuid() == 0:
        os.chown(box, NOBODY, NOBODY)
    os.chdir(box)
    for name, text in job["files"].items():
        with open(os.path.join(box, name), "wb") as file:
            file.write(text.encode("utf-8", "replace"))
    drop_rights(job["full"])
    set_limits(job)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which the first process of a namespace is not given at all
    program = os.fork()
    if program == 0:
        try:
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            if sys.platform == "linux" and platform.machine() in MACHINES:
                refuse_calls()
            environment = {
                "HOME": box,
                "TMPDIR": box,
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "PYTHONHASHSEED": "0",
            }
            os.execve(job["python"], [job["python"], "-I", "-B", os.path.join(box, job["main"])], environment)
        except OSError as error:
            tell(report, {"error": f"{job['python']}: {error}"})
        finally:
            os._exit(127)
    while True:
        ended, status, used = os.wait3(0)
        if ended == program:
            return {"status": os.waitstatus_to_exitcode(status), "cpu": used.ru_utime + used.ru_stime}


def main() -> None:
    """Read the job, run it in a child, tell how it ended."""
    report = int(sys.argv[1])
    os.set_inheritable(report, False)
    die_with_parent()
    job = json.loads(sys.stdin.buffer.read())
    try:
        if job["full"]:
            leave_namespaces()
        first = os.fork()
    except OSError as error:
        tell(report, {"error": str(error)})
        return
    if first == 0:
        try:
            die_with_parent()
            said = run(job, report)
        except BaseException as error:
            said = {"error": str(error)}
        tell(report, said)
        os._exit(0)
    # A child that is the first of its namespace takes all others with it, and is gone only when they are.
    signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGKILL))
    os.waitpid(first, 0)


main()
