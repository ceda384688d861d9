# SPDX-License-Identifier: Apache-2.0
"""Record scenarios whose truth is known, and judge what slabtrace finds in them.

    sudo python -m tests.verdict [NAME ...] --times 3 --keep DIR --json FILE
    python -m tests.verdict --judge DIR [NAME ...] [--part tune|aside]
    python -m tests.verdict --list

Status 1 if any run failed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.verdict import table
from tests.verdict.catalogue import ALL, ASIDE, NAMED
from tests.verdict.judging import Outcome
from tests.verdict.kept import Kept
from tests.verdict.reading import judge_kept
from tests.verdict.recording import FailedError, record
from tests.verdict.report import markdown
from tests.verdict.scenario import Scenario


def main() -> int:
    """Do it; 1 if a run failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # load and recorder end first
    arguments = _arguments()
    if arguments.list:
        for each in ALL:
            print(f"{each.name:18} {each.truth:4} {each.seconds:4g} s  {each.what}")
        return 0
    outcomes = []
    for outcome in _judged(arguments) if arguments.judge else _recorded(arguments):
        outcomes.append(outcome)
        print(table.line(outcome), flush=True)
    print(table.summary(outcomes))
    if arguments.json:
        table.save(outcomes, arguments.json)
    if arguments.report:
        arguments.report.write_text(markdown(outcomes))
    return int(not outcomes or not all(each.passed for each in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.verdict", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios (default: all)")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--times", type=int, default=1, help="runs of each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="length of a recording (default: each scenario's own)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the traces here")
    parser.add_argument("--judge", type=Path, metavar="DIR", help="judge what was kept, record nothing")
    parser.add_argument("--part", choices=("tune", "aside"), help="only this half of the scenarios")
    parser.add_argument("--record-only", action="store_true", help="with --keep: judge nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes here, too")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write tables in Markdown here, too")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMED)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; --list names them")
    return arguments


def _chosen(arguments: argparse.Namespace, name: str) -> bool:
    in_part = arguments.part is None or (name in ASIDE) == (arguments.part == "aside")
    return in_part and (not arguments.names or name in arguments.names)


def _judged(arguments: argparse.Namespace) -> Iterator[Outcome]:
    """Of the kept runs."""
    for path in sorted(arguments.judge.glob("*.json")):
        if _chosen(arguments, Kept.load(path).scenario):
            yield judge_kept(path)


def _recorded(arguments: argparse.Namespace) -> Iterator[Outcome]:
    """Of runs that are recorded now."""
    chosen = [each for each in ALL if _chosen(arguments, each.name)]
    with tempfile.TemporaryDirectory(prefix="verdict-") as folder:
        keep = arguments.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        for scenario, stem in _runs(chosen, arguments.times):
            seconds = arguments.seconds or scenario.seconds
            try:
                record(scenario, seconds, keep, stem)
            except FailedError as error:
                yield Outcome(scenario.name, scenario.truth, [str(error)])
                continue
            if arguments.record_only:
                print(f"recorded {stem}", flush=True)
            else:
                yield judge_kept(keep / f"{stem}.json")


def _runs(chosen: Sequence[Scenario], times: int) -> Iterator[tuple[Scenario, str]]:
    """All scenarios once, then all again: a change of the machine meanwhile meets them all."""
    for number in range(times):
        for each in chosen:
            yield each, each.name if number == 0 else f"{each.name}-{number + 1}"


if __name__ == "__main__":
    sys.exit(main())
