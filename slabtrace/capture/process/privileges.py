# SPDX-License-Identifier: Apache-2.0
"""Least privilege: the recorder gives its privileges up in three steps, each for good.

1. `become`, when the programs are compiled and the trace's folder is made: the process becomes the user
   behind sudo, with the capabilities that attaching needs.
2. `reduce`, when all is attached and the command is started: only those that recording needs are left.
3. `give_up`, before a trace is read: none is left.

Capabilities belong to a thread: capset(2) and prctl(2) change the calling one only, so each thread calls
`reduce` itself.
"""

from __future__ import annotations

import ctypes as ct
import os
import platform
import pwd
import struct
from collections.abc import Callable, Collection
from enum import IntEnum

from slabtrace.errors import CaptureError
from slabtrace.invoker import InvokingUser, invoking_user


class Capability(IntEnum):
    """Those that matter here; numbers of include/uapi/linux/capability.h."""

    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    KILL = 5
    SETUID = 7
    SETPCAP = 8
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    SYS_NICE = 23
    SYSLOG = 34
    PERFMON = 38
    BPF = 39


# What a recording needs from its start to its end.
RECORDING = frozenset(
    {
        Capability.BPF,  # before 5.19, for every access to a map
        Capability.SYSLOG,  # to see addresses in /proc/kallsyms and /proc/modules
        Capability.DAC_READ_SEARCH,  # to read /proc/slabinfo, and to reach a trace in another user's folder
        Capability.KILL,  # to end the traced command, which may have changed its user
    }
)
# What it needs until everything is attached and the command is started.  CAP_SYS_PTRACE: to read the links
# exe and ns/ of the processes of others, once (storing/running.py).
ATTACHING = RECORDING | {
    Capability.PERFMON,
    Capability.SYS_NICE,
    Capability.SETPCAP,
    Capability.SYS_PTRACE,
}

_VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 bits each
_PR_SET_KEEPCAPS, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 8, 23, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 2, 4
_SYS_SETRESUID = {"x86_64": 117, "aarch64": 147}
_NOBODY = 65534

_libc = ct.CDLL(None, use_errno=True)


def permitted() -> int:
    """The permitted capabilities of the calling thread, as bits."""
    data = ct.create_string_buffer(24)
    _call(_libc.capget, _header(), data)
    words = struct.unpack("=6I", data.raw)  # effective, permitted, inheritable; then their upper halves
    return int(words[1] | words[4] << 32)


def become(user: InvokingUser | None = None, also: Collection[Capability] = ()) -> None:
    """Become the user behind sudo, with the capabilities ATTACHING and `also`.  Other threads keep none.

    Call this before the threads that record are made.  Root without sudo stays root, with fewer
    capabilities; a user who has capabilities keeps those that are needed.  Raises CaptureError.
    """
    user = user or invoking_user()
    try:
        if os.geteuid() == 0 and (user.differs or _may(Capability.SETUID)):
            _leave_root(user)
        _keep(_needed() | set(also))
    except OSError as error:
        raise CaptureError(
            f"the recorder cannot give up root's privileges and become uid {user.uid}: {error.strerror}",
            "run it without sudo, or as root with SUDO_UID and SUDO_GID unset",
        ) from error


def reduce() -> None:
    """Leave the calling thread, and what it starts from now on, only the capabilities RECORDING, for good."""
    bounded = _may(Capability.SETPCAP)
    for number in range(64):
        if bounded and number not in RECORDING and _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            _call(_libc.prctl, _PR_CAPBSET_DROP, number, 0, 0, 0)
    _call(_libc.prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _keep(_needed() - (ATTACHING - RECORDING))


def keep_only(capabilities: Collection[Capability]) -> None:
    """Leave the calling thread only these of its capabilities.  Raises OSError."""
    _call(_libc.prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _keep(capabilities)


def give_up() -> None:
    """Become the user behind sudo, without any capability.  Call this before other threads are made."""
    become()
    reduce()
    _keep(())


def pass_on() -> None:
    """Let programs that this process starts have its capabilities; itself it uses those to reach files alone.

    What root starts has root's capabilities anyway.  Raises OSError.
    """
    held, root = permitted(), os.geteuid() == 0
    used = 1 << Capability.DAC_READ_SEARCH | 1 << Capability.DAC_OVERRIDE
    _set(held, held & used, 0 if root else held)
    for number in range(0 if root else 64):
        if held >> number & 1:
            _call(_libc.prctl, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)


def finish() -> None:
    """After recording: keep no capability, unless this is root without sudo."""
    if os.geteuid() != 0:
        _keep(())


def would(question: Callable[[], bool]) -> bool:
    """What `question` returns in a child process without privileges.  Call it before threads are made."""
    child = os.fork()
    if child == 0:
        answer = False
        try:
            give_up()
            answer = question()
        finally:
            os._exit(0 if answer else 1)
    return os.waitpid(child, 0)[1] == 0


def _needed() -> frozenset[Capability]:
    """ATTACHING, with CAP_SYS_ADMIN if CAP_BPF is lacking; for root also CAP_DAC_OVERRIDE, to write to the
    folders of others."""
    needed = ATTACHING if _may(Capability.BPF) else ATTACHING | {Capability.SYS_ADMIN}
    return needed | {Capability.DAC_OVERRIDE} if os.geteuid() == 0 else needed


def _leave_root(user: InvokingUser) -> None:
    """Change the user of every thread.  Only the calling one keeps its capabilities (KEEPCAPS is per thread).

    libc's setresuid changes all threads: those of pyarrow and numpy, which were made as root, have no
    capability afterwards.  Root without sudo makes all threads nobody, and then only the calling one root
    again.
    """
    _call(_libc.prctl, _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    if user.differs:
        os.setgroups(os.getgrouplist(user.name, user.gid) if user.name else [user.gid])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        _take_home(user)
    else:
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        _set(permitted(), 1 << Capability.SETUID)
        _call(_libc.syscall, _SYS_SETRESUID[platform.machine()], 0, 0, 0)
    _call(_libc.prctl, _PR_SET_KEEPCAPS, 0, 0, 0, 0)


def _take_home(user: InvokingUser) -> None:
    if user.name:
        home = pwd.getpwuid(user.uid).pw_dir
        os.environ.update({"HOME": home, "USER": user.name, "LOGNAME": user.name})


def _keep(capabilities: Collection[Capability]) -> None:
    """Keep only these of the calling thread's permitted capabilities, and make them effective.  execve passes
    none on."""
    _call(_libc.prctl, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    kept = permitted() & sum(1 << capability for capability in capabilities)
    _set(kept, kept)


def _set(allowed: int, effective: int, inheritable: int = 0) -> None:
    words = [bits >> half & 0xFFFF_FFFF for half in (0, 32) for bits in (effective, allowed, inheritable)]
    _call(_libc.capset, _header(), ct.create_string_buffer(struct.pack("=6I", *words), 24))


def _may(capability: Capability) -> bool:
    return bool(permitted() >> capability & 1)


def _header() -> ct.Array[ct.c_char]:
    return ct.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)


def _call(function: Callable[..., int], *arguments: object) -> None:
    """Call a function of libc.  Raises OSError."""
    if function(*arguments) < 0:
        error = ct.get_errno()
        raise OSError(error, os.strerror(error))
