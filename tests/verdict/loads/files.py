# SPDX-License-Identifier: Apache-2.0
"""Files, descriptors, names, locks and mounts."""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Callable

from tests.verdict.loads import libc
from tests.verdict.loads.load import Load


class Descriptors(Load):
    """Descriptors that are never closed; how one is made is the subclass's."""

    rate = 4.0
    churn = 0  # others, opened and closed in each step

    def setup(self) -> None:
        self.many_files()

    def make(self) -> list[int]:
        raise NotImplementedError

    def step(self, since: float) -> int:
        for _ in range(self.churn):
            for each in self.make():
                os.close(each)
        for each in self.make():
            self.later(os.close, each)
        return 1


class DescriptorRing(Descriptors):
    """50 are open; each step closes the oldest and opens one."""

    def setup(self) -> None:
        super().setup()
        self.held = [self.make() for _ in range(50)]
        self.undo.callback(lambda: [os.close(each) for made in self.held for each in made])

    def step(self, since: float) -> int:
        for each in self.held.pop(0):
            os.close(each)
        self.held.append(self.make())
        return 0


class Eventfds(Descriptors):
    """R20, L2b: eventfds that are never closed, beside some that are."""

    churn = 3

    def make(self) -> list[int]:
        return [os.eventfd(0)]


class EventfdChurn(Eventfds):
    """Eventfds opened and closed."""

    rate = 40.0

    def step(self, since: float) -> int:
        for each in [*self.make(), *self.make(), *self.make()]:
            os.close(each)
        return 0


class Timerfds(Descriptors):
    """Timers of descriptors that are never closed, beside many that are.

    Their own memory is returned by kfree_rcu, which some kernels do not let be traced: for seconds it is not
    known of the closed ones that they are.
    """

    rate = 5.0
    churn = 30

    def make(self) -> list[int]:
        return [libc.timerfd()]


class TimerfdChurn(Timerfds):
    """The same, all closed."""

    def step(self, since: float) -> int:
        for _ in range(self.churn):
            for each in self.make():
                os.close(each)
        return 0


class Epolls(Timerfds):
    """Epoll instances that are never closed, beside many that are; their own memory is returned likewise."""

    def make(self) -> list[int]:
        return [libc.epoll()]


class Pipes(Descriptors):
    """L2b: pipes that are never closed."""

    def make(self) -> list[int]:
        return list(os.pipe())


class RandomPipes(Pipes):
    """Pipes that are never closed, at random times: three a second on average."""

    rate = 30.0

    def step(self, since: float) -> int:
        if self.random.random() < 0.1:
            return super().step(since)
        for each in self.make():
            os.close(each)
        return 0


class Unlinked(Descriptors):
    """Files on a disk are removed, but never closed."""

    def setup(self) -> None:
        super().setup()
        self.place = self.folder("/var/tmp")

    def make(self) -> list[int]:
        path = f"{self.place}/{self.stamp()}"
        file = os.open(path, os.O_CREAT | os.O_RDWR)
        os.unlink(path)
        return [file]


class PipeRing(DescriptorRing, Pipes):
    """50 pipes, the oldest replaced."""


class Memfds(Descriptors):
    """Memory files that are never closed."""

    def make(self) -> list[int]:
        return [os.memfd_create("verdict")]


class MemfdRing(DescriptorRing, Memfds):
    """50 memory files, the oldest replaced."""


class EpollItems(Load):
    """R20: a descriptor is added to an epoll and closed, but its file stays open: the item stays."""

    rate = 8.0
    removed = False

    def setup(self) -> None:
        self.many_files()
        self.file = os.eventfd(0)
        self.later(os.close, self.file)
        self.epoll = select.epoll()
        self.later(self.epoll.close)
        self.next = 1000

    def step(self, since: float) -> int:
        self.next += 1
        copy = fcntl.fcntl(self.file, fcntl.F_DUPFD, self.next)
        self.epoll.register(copy, select.EPOLLIN)
        if self.removed:
            self.epoll.unregister(copy)
            self.next -= 1
        os.close(copy)
        return 0 if self.removed else 1


class EpollChurn(EpollItems):
    """The same, removed before it is closed."""

    rate = 40.0
    removed = True


class Watches(Load):
    """inotify watches on ever more files; the files were there before."""

    rate = 8.0
    files = 2500
    removed = False

    def setup(self) -> None:
        folder = self.folder("/dev/shm")
        self.paths = [f"{folder}/{number}" for number in range(self.files)]
        for path in self.paths:
            os.close(os.open(path, os.O_CREAT))
        self.inotify = libc.inotify()
        self.later(os.close, self.inotify)

    def step(self, since: float) -> int:
        number = libc.watch(self.inotify, self.paths.pop())
        if self.removed:
            libc.unwatch(self.inotify, number)
            os.read(self.inotify, 4096)  # IN_IGNORED
        return 0 if self.removed else 1


class WatchChurn(Watches):
    """The same, removed again."""

    rate = 40.0
    files = 6000
    removed = True


class UnreadEvents(Load):
    """inotify events of files that come and go; their dentries stay, and nobody refers to those."""

    rate = 8.0
    read = False

    def setup(self) -> None:
        self.inotify = libc.inotify()
        self.later(os.close, self.inotify)
        self.watched = self.folder("/var/tmp")
        libc.watch(self.inotify, self.watched)
        self.number = 0

    def step(self, since: float) -> int:
        self.number += 1
        path = f"{self.watched}/{self.number}"
        os.close(os.open(path, os.O_CREAT))
        os.unlink(path)
        if self.read:
            os.read(self.inotify, 4096)
        return 0 if self.read else 1


class ReadEvents(UnreadEvents):
    """The same, read."""

    rate = 40.0
    read = True


class RecordLocks(Load):
    """POSIX locks on ever more bytes of a file, none unlocked."""

    rate = 8.0
    unlocked = False

    def setup(self) -> None:
        self.file = os.open(f"{self.folder('/dev/shm')}/locked", os.O_CREAT | os.O_RDWR)
        self.later(os.close, self.file)
        self.at = 0

    def step(self, since: float) -> int:
        self.at += 2  # neighbours would become one lock
        fcntl.lockf(self.file, fcntl.LOCK_EX, 1, self.at)
        if self.unlocked:
            fcntl.lockf(self.file, fcntl.LOCK_UN, 1, self.at)
        return 0 if self.unlocked else 1


class LockChurn(RecordLocks):
    """The same, unlocked."""

    rate = 40.0
    unlocked = True


class TmpfsFiles(Load):
    """Files in memory that nobody removes."""

    rate = 4.0

    def setup(self) -> None:
        self.place = self.folder("/dev/shm")

    def step(self, since: float) -> int:
        os.close(os.open(f"{self.place}/{self.stamp()}", os.O_CREAT | os.O_WRONLY))
        return 1


class TmpfsRing(TmpfsFiles):
    """40 files in memory: each step removes the oldest and makes one."""

    def setup(self) -> None:
        super().setup()
        self.paths: list[str] = []
        for _ in range(40):
            self._one()

    def _one(self) -> None:
        self.paths.append(f"{self.place}/{self.stamp()}")
        os.close(os.open(self.paths[-1], os.O_CREAT | os.O_WRONLY))

    def step(self, since: float) -> int:
        os.unlink(self.paths.pop(0))
        self._one()
        return 0


class Attributes(TmpfsFiles):
    """Extended attributes of one file in memory, of ever new names."""

    rate = 8.0
    removed = False

    def setup(self) -> None:
        super().setup()
        self.path = f"{self.place}/file"
        os.close(os.open(self.path, os.O_CREAT))

    def step(self, since: float) -> int:
        name = f"trusted.{self.stamp()}"
        os.setxattr(self.path, name, bytes(100))
        if self.removed:
            os.removexattr(self.path, name)
        return 0 if self.removed else 1


class AttributeChurn(Attributes):
    """The same, removed."""

    rate = 40.0
    removed = True


class MissingNames(Load):
    """R3: names that do not exist are looked up on a disk."""

    rate = 50.0

    def setup(self) -> None:
        self.place = self.folder("/var/tmp")

    def step(self, since: float) -> int:
        os.path.exists(f"{self.place}/{self.stamp()}{self.stamp()}")
        return 0


class Fifos(MissingNames):
    """R4: FIFOs of unique names are made and removed."""

    make: Callable[[str], object] = staticmethod(os.mkfifo)
    rate = 40.0

    def step(self, since: float) -> int:
        path = f"{self.place}/{self.stamp()}"
        type(self).make(path)
        os.unlink(path)
        return 0


class ReadOnce(Load):
    """Files of the system are opened and their first bytes read, each once, as by a backup."""

    rate = 60.0

    def setup(self) -> None:
        self.paths = iter([f"{at}/{name}" for at, _, names in os.walk("/usr") for name in names])

    def step(self, since: float) -> int:
        path = next(self.paths)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                file.read(4096)
        return 0


class Mounts(Load):
    """Bind mounts that nobody unmounts, in a mount namespace of one's own."""

    rate = 4.0
    places = 2500
    unmounted = False

    def setup(self) -> None:
        libc.private_mounts()
        self.place = self.folder("/dev/shm")
        self.free = [f"{self.place}/{number}" for number in range(self.places)]
        for each in self.free:
            os.mkdir(each)

    def step(self, since: float) -> int:
        target = self.free.pop()
        libc.bind("/var/tmp", target)
        if self.unmounted:
            libc.unmount(target)
            self.free.append(target)
            return 0
        self.later(libc.unmount, target)
        return 1


class MountChurn(Mounts):
    """The same, unmounted."""

    places = 1
    unmounted = True
