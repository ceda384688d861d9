# SPDX-License-Identifier: Apache-2.0
"""Dask distributed as the engine: workers on this machine, or a user's cluster.

Dask makes again what a dead worker had.  A task whose workers die twice is given up; then each of its
traces is a task, and at last runs alone, so that only the one that kills its reader is left out.
The scheduler keeps no state: if it dies, the digests made so far are on disk, and another run goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any

from slabtrace import __version__
from slabtrace.errors import UsageError
from slabtrace.fleet.sources.digesting import Job, Result, digest_bundle

ALLOWED_FAILURES = 1  # deaths of a task's workers before it is given up
ATTEMPTS_ALONE = 2  # of a trace whose readers died, when other tasks may have been to blame
CONNECT_S = 20
POLL_S = 0.02
SOON_S = 15  # without any worker: a nanny, which starts a dead one again, gives up now and then
WITHOUT_WORKERS_S = 120  # the same of a cluster of others
LOST = "the Dask scheduler was lost"
AGAIN = "run the same command again: digests that were made are not made again"


def local(workers: int) -> Dask:
    """So many worker processes on this machine, each with one thread of Dask's."""
    distributed = _distributed()
    import dask

    dask.config.set(
        {"distributed.scheduler.allowed-failures": ALLOWED_FAILURES, "distributed.admin.tick.limit": "60s"}
    )
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    cluster = distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )
    return Dask(distributed.Client(cluster), cluster, workers)


def connected(address: str) -> Dask:
    """The scheduler at `address`, or of the scheduler file of that name.

    Raises UsageError if it cannot be reached, or if a worker has another version of slabtrace.
    """
    distributed = _distributed()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        client = distributed.Client(**where, timeout=CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"no Dask scheduler at {address}: {error}", "start one: dask scheduler") from None
    engine = Dask(client)
    engine.check_versions()
    return engine


class Dask:
    """An engine (see engine.py) on the scheduler of `client`."""

    def __init__(self, client: Any, cluster: Any = None, workers: int = 0) -> None:
        self._client, self._cluster, self._wanted = client, cluster, workers
        self._bundles: dict[Any, Sequence[Job]] = {}
        self._submitted = 0

    def submit(self, jobs: Sequence[Job]) -> None:
        """See Engine."""
        self._bundles[self._future(jobs)] = jobs

    def completed(self) -> Iterator[Result]:
        """See Engine."""
        for singly in (False, True):
            killed: list[Job] = []
            for jobs, results in self._results():
                if results is None:
                    killed += jobs
                else:
                    yield from results
            for job in [] if singly else killed:
                self.submit([job])
        for job in killed:  # a worker's death gives every task on it a bad mark, so the last tries are alone
            yield self._alone(job)

    def _alone(self, job: Job) -> Result:
        """The result of a job that nothing runs beside."""
        for _ in range(ATTEMPTS_ALONE):
            self.submit([job])
            for _, results in self._results():
                if results is not None:
                    return results[0]
        return Result(job.key, b"", "killed its reader each time it was read")

    def close(self) -> None:
        """See Engine."""
        for each in (self._client, self._cluster):
            if each is not None:
                with suppress(OSError, TimeoutError, CancelledError):
                    each.close(timeout=5)

    def check_versions(self) -> None:
        """Raise UsageError where a worker's slabtrace differs from this one."""
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError:
            self.close()
            raise UsageError("the Dask scheduler has no worker", "start some: dask worker ADDRESS") from None
        try:
            found = self._client.run(_version)
        except Exception as error:  # whatever a worker raises where slabtrace is missing
            self.close()
            raise UsageError(
                f"slabtrace is not on the workers: {error}", "install the same version there"
            ) from None
        others = sorted({version for version in found.values() if version != __version__})
        if others:
            self.close()
            raise UsageError(
                f"workers have slabtrace {', '.join(others)}, this is {__version__}",
                "install the same version there",
            )

    def _future(self, jobs: Sequence[Job]) -> Any:
        self._submitted += 1
        plain = [(job.key, job.item) for job in jobs]
        return self._client.submit(_run, plain, pure=False, priority=-self._submitted)

    def _results(self) -> Iterator[tuple[Sequence[Job], list[Result] | None]]:
        """Each bundle with its results; None: its workers died."""
        distributed = _distributed()
        waiting, self._bundles = self._bundles, {}
        for future in self._as_completed(list(waiting)):
            jobs = waiting.pop(future)
            if future.status == "finished":
                try:
                    yield jobs, [Result(*each) for each in future.result()]
                except (CancelledError, OSError) as error:
                    raise UsageError(f"{LOST}: {error}", AGAIN) from None
            elif future.status == "error" and isinstance(
                future.exception(), distributed.scheduler.KilledWorker
            ):
                yield jobs, None
            elif future.status == "error":
                words = str(future.exception()).splitlines()[:1]
                yield jobs, [Result(job.key, b"", f"cannot be read: {' '.join(words)[:300]}") for job in jobs]
            elif self._client.status == "running":
                yield jobs, None  # its worker died before the result was fetched
            else:
                raise UsageError(LOST, AGAIN)
            future.release()

    def _as_completed(self, futures: list[Any]) -> Iterator[Any]:
        """Dask's as_completed, which waits forever where no worker is left."""
        coming = _distributed().as_completed(futures)
        alive = time.monotonic()
        while not coming.is_empty():
            if coming.has_ready():
                alive = time.monotonic()
                yield next(coming)
                continue
            time.sleep(POLL_S)
            if self._client.status != "running":
                raise UsageError(LOST, AGAIN)
            if self._workers():
                alive = time.monotonic()
            elif time.monotonic() - alive > (WITHOUT_WORKERS_S if self._cluster is None else SOON_S):
                self._revive()
                alive = time.monotonic()

    def _workers(self) -> int:
        """How many there are, as far as the scheduler said."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def _revive(self) -> None:
        """Start new workers; those of others cannot be started from here."""
        if self._cluster is None:
            raise UsageError("no Dask worker is left", f"start some; {AGAIN}")
        self._cluster.scale(0)
        self._cluster.scale(self._wanted)


def _run(jobs: list[tuple[str, Any]]) -> list[tuple[str, bytes, str]]:
    """What a worker does."""
    return digest_bundle([Job(*each) for each in jobs])


def _version() -> str:
    return __version__


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise UsageError(
            "--workers and --scheduler need Dask", "install it: pip install 'slabtrace[fleet]'"
        ) from None
    return distributed
