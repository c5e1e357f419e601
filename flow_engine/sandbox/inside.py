"""The process that runs foreign code: gives up all that it may do, then runs it. Standard library only.

Started as a script by `flow_engine.sandbox.python`, without environment. Reads {code, input, memoryBytes,
cpuSeconds} from stdin as JSON, and writes {output} or {failure} to stdout. The kernel keeps the promises, by
rights that a process cannot get back: resource limits; a network namespace, where the kernel lets; Landlock,
for files and signals; and a seccomp filter that refuses system calls for sockets, processes and the like.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
NOBODY = 65534
LIBRARY = Path(os.__file__).parent
OPEN_FILES = 32

# Landlock, by its ABI: all rights over files; binding and connecting (4); abstract sockets, signals (6).
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
RIGHTS_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
NETWORK_RIGHTS, SCOPES = 0b11, 0b11
O_PATH = 0o10000000

# name: (x86_64, aarch64). What could reach other processes, other machines or more rights.
REFUSED_CALLS = {
    "socket": (41, 198), "socketpair": (53, 199), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "connect": (42, 203), "sendto": (44, 206),
    "recvfrom": (45, 207), "sendmsg": (46, 211), "recvmsg": (47, 212), "sendmmsg": (307, 269),
    "clone": (56, 220), "clone3": (435, 435), "fork": (57, None), "vfork": (58, None),
    "execve": (59, 221), "execveat": (322, 281), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "prlimit64": (302, 261), "setrlimit": (160, 164), "setpriority": (141, 140),
    "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "init_module": (175, 105),
    "finit_module": (313, 273), "kexec_load": (246, 104), "reboot": (169, 142), "swapon": (167, 224),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "syslog": (103, 116),
}  # fmt: skip
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
X32_BIT = 0x40000000
LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000


class NotConfined(Exception):
    """The kernel does not keep a promise without which nothing may run."""


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction))]


_libc = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    given = json.loads(sys.stdin.buffer.read())
    answer = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    try:
        confine(given["memoryBytes"], given["cpuSeconds"])
        told = outcome(given["code"], given["input"])
    except NotConfined as error:
        told = {"failure": {"kind": "notConfined", "message": str(error)}}
    data = json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass")
    while data:
        data = data[os.write(answer, data) :]
    os._exit(0)


def outcome(code: str, value: Any) -> dict[str, Any]:
    """What the code's `main` gives, or how it failed."""
    names: dict[str, Any] = {"__name__": "__code__", "__builtins__": __builtins__}
    try:
        exec(compile(code, "<code>", "exec"), names)  # noqa: S102 - that is what this process is for
        if not callable(names.get("main")):
            return {"failure": {"kind": "raised", "message": "the code defines no function `main(input)`"}}
        output = names["main"](value)
        json.dumps(output, allow_nan=False)
        return {"output": output}
    except MemoryError:
        names.clear()
        return {"failure": {"kind": "memory", "message": "the code used more memory than it may"}}
    except BaseException as error:
        return {"failure": {"kind": "raised", "message": told(error), "line": line_of(error)}}


def told(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:2000]
    except BaseException:
        return type(error).__name__


def line_of(error: BaseException) -> int | None:
    """The line of the code that raised it."""
    if isinstance(error, SyntaxError):
        return error.lineno
    found, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<code>":
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


# Giving up rights ---------------------------------------------------------------------------------


def confine(memory_bytes: int, cpu_seconds: int) -> None:
    """Raises NotConfined. The order matters: each step needs rights that a later one gives up."""
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    limit(resource.RLIMIT_NPROC, 0)
    limit(resource.RLIMIT_CPU, cpu_seconds)
    limit(resource.RLIMIT_AS, memory_bytes)
    leave_network()
    become_nobody()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after the change of user, which clears it
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise NotConfined("the kernel has no no_new_privs")
    files_closed = close_files()
    if os.geteuid() == 0 and not files_closed:
        raise NotConfined("as root the code needs a kernel with Landlock")
    refuse_calls()


def limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, value))


def leave_network() -> None:
    """Into a network of its own, without any interface that is up. Where the kernel does not let, the filter
    of system calls stands alone."""
    _libc.unshare(CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET)


def become_nobody() -> None:
    """Root becomes a user that owns nothing; where that one cannot read Python's library, root loses its
    powers."""
    if os.geteuid() != 0:
        return
    if readable_by_all(LIBRARY):
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, nothing):
        raise NotConfined("root cannot give up its powers")


def readable_by_all(folder: Path) -> bool:
    return all(path.stat().st_mode & 0o005 == 0o005 for path in (folder, *folder.parents))


def close_files() -> bool:
    """No files from now on but libraries and time zones, for reading. False: the kernel has no Landlock."""
    abi = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        return False
    ruleset = _Ruleset(
        RIGHTS_OF_ABI.get(abi, RIGHTS_OF_ABI[5]), NETWORK_RIGHTS if abi >= 4 else 0, SCOPES if abi >= 6 else 0
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = _libc.syscall(CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))
    if rules < 0:
        return False
    for path in (str(LIBRARY), "/lib", "/lib64", "/usr/lib", "/usr/share/zoneinfo"):
        allow_reading(rules, path)
    closed: bool = _libc.syscall(RESTRICT_SELF, rules, ctypes.c_uint32(0)) == 0
    os.close(rules)
    return closed


def allow_reading(rules: int, path: str) -> None:
    try:
        folder = os.open(path, O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    rule = _PathRule(EXECUTE | READ_FILE | READ_DIR, folder)
    _libc.syscall(ADD_RULE, rules, 1, ctypes.byref(rule), ctypes.c_uint32(0))
    os.close(folder)


def refuse_calls() -> None:
    """System calls that reach beyond this process fail from now on. Raises NotConfined."""
    if platform.machine() not in ARCHITECTURES:
        raise NotConfined(f"no filter of system calls is known for {platform.machine()}")
    column, architecture = ARCHITECTURES[platform.machine()]
    numbers = [number for calls in REFUSED_CALLS.values() if (number := calls[column]) is not None]
    steps = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    steps.append((JUMP_GREATER_EQUAL, len(numbers) + 1, 0, X32_BIT))
    steps += [(JUMP_EQUAL, len(numbers) - n, 0, number) for n, number in enumerate(numbers)]
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    instructions = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    program = _Program(len(steps), instructions)
    if _libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0):
        raise NotConfined("the kernel lets no process filter its system calls (seccomp)")


if __name__ == "__main__":
    main()
