# SPDX-License-Identifier: Apache-2.0
"""A whole run: places are listed, digests read or made, merged as they come.

What is wrong with one of them is noted, and the others are unharmed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slabtrace.errors import SlabtraceError
from slabtrace.fleet.digests.file import Digest
from slabtrace.fleet.engines.engine import Engine, bundles
from slabtrace.fleet.merging.merged import Merged, row_of
from slabtrace.fleet.sources import local, remote
from slabtrace.fleet.sources.digesting import GONE, Job, content_hash, key_of, read_digest
from slabtrace.fleet.sources.items import DIGEST, Found, Item
from slabtrace.fleet.store import Store


@dataclass
class Progress:
    """How far a run is: things and bytes."""

    things: int = 0
    bytes: int = 0
    done: int = 0
    done_bytes: int = 0
    unread: int = 0
    reused: int = 0


@dataclass
class Outcome:
    """`merged`: all that could be read.  `unread`: (place, why) of the rest."""

    merged: Merged = field(default_factory=Merged)
    unread: list[tuple[str, str]] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)


Watching = Callable[[Progress], None]


def run(places: Sequence[str], engine: Callable[[], Engine], store: Store, watching: Watching) -> Outcome:
    """Read all that is at `places`.  `engine` is called only if a digest has to be made.

    `watching` is called after each.  Raises UsageError for a URL that cannot be opened, SlabtraceError if
    the engine is lost: all digests that were made are in the store then.
    """
    found = Found()
    for place in places:
        found.add(remote.find(place) if remote.is_url(place) else local.find(place))
    items = list({item.place: item for item in found.items}.values())
    outcome = Outcome(unread=list(dict.fromkeys(found.unread)))
    outcome.progress = Progress(len(items), sum(item.bytes for item in items), unread=len(outcome.unread))
    work = _Work(outcome, store, watching)
    for item in items:
        if item.kind == DIGEST:
            work.digest(item)
    jobs = work.jobs([item for item in items if item.kind != DIGEST])
    if jobs:
        work.made(engine(), jobs)
    return outcome


class _Work:
    """A run that goes on."""

    def __init__(self, outcome: Outcome, store: Store, watching: Watching) -> None:
        self._outcome, self._store, self._watching = outcome, store, watching

    def digest(self, item: Item) -> None:
        """Read a digest."""
        try:
            self._take(item, read_digest(item))
        except FileNotFoundError:
            self._leave(item, GONE)
        except OSError as error:
            self._leave(item, f"cannot be read: {error.strerror or error}")

    def jobs(self, items: Iterable[Item]) -> list[tuple[Job, list[Item]]]:
        """What is to be made: the traces whose digests are not in the store, with all copies of each."""
        wanted: dict[str, list[Item]] = {}
        for item in items:
            try:
                wanted.setdefault(key_of(item), []).append(item)
            except (FileNotFoundError, SlabtraceError) as error:
                gone = not Path(item.place).exists()
                self._leave(
                    item, GONE if gone else error.message if isinstance(error, SlabtraceError) else str(error)
                )
            except OSError as error:
                self._leave(item, f"cannot be read: {error.strerror or error}")
        left = []
        for key, copies in wanted.items():
            content = self._store.get(key)
            if content is None:
                left.append((Job(key, copies[0]), copies))
            else:
                self._outcome.progress.reused += 1
                self._take_all(copies, content)
        return left

    def made(self, engine: Engine, jobs: Sequence[tuple[Job, list[Item]]]) -> None:
        """Have the digests made, and keep each as it comes."""
        copies = {job.key: items for job, items in jobs}
        try:
            for bundle in bundles([job for job, _ in jobs]):
                engine.submit(bundle)
            for result in engine.completed():
                items = copies.pop(result.key, [])
                if result.content:
                    self._store.put(result.key, result.content)
                    self._take_all(items, result.content)
                else:
                    for item in items:
                        self._leave(item, result.why)
        finally:
            engine.close()

    def _take_all(self, items: Sequence[Item], content: bytes) -> None:
        for item in items:
            self._take(item, content)

    def _take(self, item: Item, content: bytes) -> None:
        try:
            self._outcome.merged.add(row_of(Digest(content, item.shown), item.shown, content_hash(content)))
        except SlabtraceError as error:
            self._leave(item, error.message)
            return
        self._done(item)

    def _leave(self, item: Item, why: str) -> None:
        self._outcome.unread.append((item.shown, why.removeprefix(f"{item.shown} ")))
        self._outcome.progress.unread += 1
        self._done(item)

    def _done(self, item: Item) -> None:
        progress = self._outcome.progress
        progress.done, progress.done_bytes = progress.done + 1, progress.done_bytes + item.bytes
        self._watching(progress)
