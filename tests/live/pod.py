# SPDX-License-Identifier: Apache-2.0
"""A pod without a container engine: what one takes from a process, taken by the kernel's own calls.

    python -m tests.live.pod ROOT OUTPUT COMMAND...

runs COMMAND as root in a folder (ROOT, not changed; the interpreter and this checkout are there, too) with
OUTPUT as its /output, in namespaces of its own, with a read-only /sys, a small /dev, the five capabilities
that deploy/ gives, and a seccomp filter that refuses what the default profile of container engines refuses
to a process with these capabilities (moby, profiles/seccomp/default.json; containerd has the same list).
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from slabtrace.capture.process.running import hierarchies

NAMESPACES = ("unshare", "--pid", "--fork", "--mount", "--net", "--ipc", "--uts", "--cgroup")
CAPABILITIES = ("bpf", "perfmon", "syslog", "dac_read_search", "sys_nice")
REFUSED = (
    "acct", "add_key", "bdflush", "chroot", "clock_adjtime", "clock_settime", "create_module",
    "delete_module", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms",
    "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp",
    "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mount", "mount_setattr", "move_mount",
    "move_pages", "nfsservctl", "open_tree", "pidfd_getfd", "pivot_root", "process_madvise",
    "process_vm_readv", "process_vm_writev", "ptrace", "query_module", "quotactl", "quotactl_fd",
    "reboot", "request_key", "set_mempolicy_home_node", "setdomainname", "sethostname", "setns",
    "settimeofday", "stime", "swapoff", "swapon", "_sysctl", "sysfs", "umount", "umount2", "unshare",
    "uselib", "userfaultfd", "ustat", "vhangup", "vm86", "vm86old",
)  # fmt: skip
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_ALLOW, _ERRNO, _UNKNOWN = 0x7FFF0000, 0x00050000, -1  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(0), __NR_SCMP_ERROR


def main(root: str, output: str, *command: str) -> None:
    """Become the pod's first process."""
    here, interpreter = Path(__file__).resolve().parents[2], Path(sys.prefix)
    with tempfile.TemporaryDirectory(prefix="slabtrace-pod-") as folder:
        status = 0
        if child := os.fork():
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        else:
            _enter(_mounted(Path(folder), root, output, {here, interpreter, Path(sys.base_prefix)}))
            os.chdir(here)
            refuse_system_calls()
            _exec(command)
        subprocess.run(["umount", "--recursive", folder], check=True)
    sys.exit(abs(status))


def _mounted(folder: Path, root: str, output: str, brought: set[Path]) -> Path:
    """The pod's root folder; all mounts are in this mount namespace alone."""
    place = folder / "root"
    script = [
        "mount --make-rprivate /",
        f"mount -t tmpfs pod {folder}",
        f"mkdir {folder}/upper {folder}/work {place}",
        f"mount -t overlay -o lowerdir={root},upperdir={folder}/upper,workdir={folder}/work pod {place}",
        f"mkdir -p {place}/output {place}/dev {place}/proc {place}/sys",
        f"mount --bind {output} {place}/output",
        f"mount -t proc proc {place}/proc",
        f"mount -t sysfs -o ro sys {place}/sys",
        f"mount -t tmpfs dev {place}/dev",
        *(f"touch {place}/dev/{name}; mount --bind /dev/{name} {place}/dev/{name}" for name in DEVICES),
        *(f"mkdir -p {place}{each}; mount --bind {each} {place}{each}" for each in sorted(brought)),
    ]
    subprocess.run(["sh", "-ec", "\n".join(script)], check=True)
    _mount_memory(place / "sys/fs/cgroup")
    return place


def _mount_memory(place: Path) -> None:
    """The memory cgroup, as engines show it: in its namespace the pod's own is the root."""
    memory = [each for each in hierarchies() if "memory" in each.controllers.split(",")]
    if not memory:
        subprocess.run(["mount", "-t", "cgroup2", "-o", "ro", "cgroup2", place], check=True)
        return
    subprocess.run(["mount", "-t", "tmpfs", "cgroup", place], check=True)
    (place / "memory").mkdir()
    controllers = memory[0].controllers
    subprocess.run(
        ["mount", "-t", "cgroup", "-o", f"ro,{controllers}", "cgroup", place / "memory"], check=True
    )


def _enter(root: Path) -> None:
    os.chroot(root)
    os.chdir("/")
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ.pop("SUDO_UID", None)


def refuse_system_calls() -> None:
    """Load the seccomp filter into this process."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    filtering = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    answers = dict.fromkeys(REFUSED, errno.EPERM) | {"clone3": errno.ENOSYS}  # which makes libc use clone
    for name, error in answers.items():
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != _UNKNOWN and library.seccomp_rule_add(filtering, _ERRNO | error, number, 0):
            raise OSError(f"seccomp: {name} cannot be refused")
    if library.seccomp_load(filtering):
        raise OSError("seccomp: the filter cannot be loaded")


def _exec(command: tuple[str, ...]) -> None:
    given = "-all," + ",".join(f"+{name}" for name in CAPABILITIES)
    setpriv = ["setpriv", "--bounding-set", given, "--inh-caps", given, "--ambient-caps", given]
    os.execvp("setpriv", [*setpriv, "--no-new-privs", *command])


if __name__ == "__main__":
    main(*sys.argv[1:])
