"""Rights that the Linux kernel can take from the process that runs the code of an answer.

Each function takes something away from the calling process for good. Standard library only: the
worker imports it before anything else is there. ``OSError`` means that this kernel refuses.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x8000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000

_MS_REC_PRIVATE = 0x4000 | 0x40000
_MS_NOSUID_NODEV = 0x2 | 0x4
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 0x1


def prctl(option: int, value: int) -> None:
    """Set one of the PR_SET_ options."""
    _check(_LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def enter_namespaces() -> None:
    """Enter a network without interfaces, a process namespace, and mounts that can be changed.

    A user namespace is what lets someone who is not root have the others.
    """
    uid, gid = os.getuid(), os.getgid()
    _check(_LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC))
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")


def make_read_only_except(folder: str, disk_bytes: int) -> None:
    """Make all file systems read-only, but for ``folder``, which becomes a small one in memory."""
    _check(_LIBC.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None))
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    _check(_LIBC.syscall(442, -100, b"/", _AT_RECURSIVE, attributes, len(attributes)))
    options = f"size={disk_bytes},nr_inodes=4096,mode=700".encode()
    where = os.fsencode(folder)
    _check(_LIBC.mount(b"tmpfs", where, b"tmpfs", ctypes.c_ulong(_MS_NOSUID_NODEV), options))


_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, list a folder
_WRITE_FILE, _READ_FILE = 1 << 1, 1 << 2
_FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14


def allow_only_files(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Let nothing be opened but what lies in these places (Landlock).

    On a kernel that knows how, signals and abstract sockets stay inside as well.
    """
    abi = _LIBC.syscall(444, None, 0, 1)
    _check(abi)
    newest = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    everything = (1 << newest) - 1
    rules = struct.pack("=QQQ", everything, 0, 3 if abi >= 6 else 0)
    ruleset = _check(_LIBC.syscall(444, rules, {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}.get(abi, 24), 0))
    for places, rights in ((readable, _READ), (writable, everything)):
        for place in places:
            _allow(ruleset, place, rights)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _check(_LIBC.syscall(446, ruleset, 0))
    os.close(ruleset)


def _allow(ruleset: int, place: str, rights: int) -> None:
    try:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no permission
    if not Path(place).is_dir():
        rights &= _FILE_RIGHTS
    rule = struct.pack("=Qi", rights, opened)
    _check(_LIBC.syscall(445, ruleset, 1, rule, 0))
    os.close(opened)


# x86-64 system calls. Refused with EPERM: starting processes, sockets of every kind, touching other
# processes, shared memory that outlives them, and what only an administrator needs.
_REFUSED = (
    57, 58,  # fork, vfork
    41,  # socket
    129, 297, 200, 424, 434, 438, 101, 310, 311, 141, 142, 144, 203, 251, 314,  # other processes
    29, 64, 68, 240, 319, 447, 425, 426, 427,  # SysV IPC, queues, memfd, io_uring
    103, 134, 155, 159, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 174, 175, 176,
    179, 180, 227, 246, 248, 249, 250, 272, 298, 304, 305, 308, 313, 320, 321, 323,  # admin
    428, 429, 430, 431, 432, 433, 442,  # mounts
)  # fmt: skip
_CHANGES_ATTRIBUTES = (  # which Landlock leaves alone: modes, owners, times, extended attributes
    90, 91, 92, 93, 94, 132, 188, 189, 190, 197, 198, 199, 235, 260, 261, 268, 280, 452,
)  # fmt: skip
_CLONE, _CLONE3, _KILL, _TGKILL, _PRLIMIT = 56, 435, 62, 234, 302
_CLONE_THREAD = 0x10000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_EPERM, _EAGAIN, _ENOSYS = (0x50000 | n for n in (1, 11, 38))


def restrict_system_calls(*, attributes_too: bool) -> None:
    """Refuse new processes, sockets, and signals to anybody else (seccomp); threads are allowed.

    Call it last, in the process that it is for: its own id is part of the filter.
    """
    if platform.machine() != "x86_64" or struct.calcsize("P") != 8:
        raise OSError("the list of system calls is for x86-64")
    program = _filter(os.getpid(), _REFUSED + (_CHANGES_ATTRIBUTES if attributes_too else ()))
    lines = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(lines)
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _check(_LIBC.prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(header), 0, 0))


def _filter(own: int, refused: Iterable[int]) -> list[tuple[int, int, int, int]]:
    """Return BPF over ``struct seccomp_data``: number at 0, architecture at 4, arguments at 16."""
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, 0xC000003E),  # another architecture has other numbers
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, 0x40000000),  # x32: the same calls by other numbers
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_EQUAL, 0, 1, _CLONE3),  # its flags are out of sight; libc then falls back to clone
        (_RETURN, 0, 0, _ENOSYS),
        (_EQUAL, 0, 4, _CLONE),
        (_LOAD, 0, 0, 16),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EAGAIN),
    ]
    for number, allowed in ((_KILL, (own,)), (_TGKILL, (own,)), (_PRLIMIT, (0, own))):
        size = len(allowed)
        program += [(_EQUAL, 0, size + 3, number), (_LOAD, 0, 0, 16)]
        program += [(_EQUAL, size - i, 0, pid) for i, pid in enumerate(allowed)]
        program += [(_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]
    for number in refused:
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
