# SPDX-License-Identifier: Apache-2.0
"""The findings that the service knows: since when, since which boot, how large; at most MOST of them.

A finding is named by the fleet's signature, so it is the same after a reboot, and on other hosts.  A part
that is still recorded may lack frees that are not stored yet, so nothing in it is a suspect: what was one in
the last part that ended stays one while it grows.  So does what a triggered recording has confirmed, on
kernels where some free paths are not traced and only the checks at the end of a recording can do so.

Example: a leak on such a kernel.

    judged                  says       known as
    part 1, recorded        growing    growing
    a triggered recording   suspect    suspect, confirmed
    part 1, ended           growing    suspect: it still grows
    part 2, ended           retained   suspect, not present
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

MOST = 200
MOST_NEW = 50  # of one digest, those that certainly grow most
MOST_TEXT = 300
MOST_STACK = 4_000
CLASSES = SUSPECT, GROWING = "suspect", "growing"  # the graver one first
DAY_S = 86_400
# Columns of columns.fleet.DIGEST that are read of a finding.
READ = (
    "signature", "title", "cache", "class", "objects", "bytes", "growth_per_day", "growth_low_per_day",
    "oldest_s", "stack", "module", "object", "command", "unit", "container", "why",
)  # fmt: skip


@dataclass
class Finding:
    """A finding.  Times are seconds since 1970.

    `first_seen_s`: when a judgement first had it; `since_s`: when the oldest object that was seen was
    allocated.  `first_seen_boot_s`: how long this boot (`boot_id`) had lasted when it was first seen in it;
    `boots`: in how many boots it was seen.  `present`: the last judgement of a part that ended had it, or a
    later one.  `triggered`: it made a recording in this boot.  `confirmed_s`: when such a recording had it as
    a suspect; 0: none did.  `said`: the gravest class that was reported in this boot.
    """

    signature: str
    title: str
    cache: str
    first_seen_s: float
    since_s: float
    boot_id: str
    first_seen_boot_s: float
    last_seen_s: float
    boots: int = 1
    present: bool = True
    triggered: bool = False
    confirmed_s: float = 0.0
    said: str = ""
    class_: str = ""
    objects: int = 0
    bytes: int = 0
    growth_bytes_per_s: float = 0.0
    growth_certain_bytes_per_s: float = 0.0
    stack: str = ""
    module: str = ""
    object: str = ""
    command: str = ""
    unit: str = ""
    container: str = ""
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields, under the names that the tables have."""
        made = asdict(self)
        return {"class": made.pop("class_"), **{key: value for key, value in made.items() if key != "said"}}


class Known:
    """Findings by signature."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._found = {each.signature: each for each in findings}

    def take(
        self,
        rows: Iterable[Mapping[str, Any]],
        end_s: float,
        uptime_s: float,
        boot_id: str,
        ended: bool = True,
    ) -> list[Finding]:
        """Take the findings of a judgement (READ, as `settled` gives them), made `uptime_s` after the boot.

        `ended`: of a part that has ended; of another one nothing is said to be gone.  Gives those to report,
        the gravest first: each once in a boot for each class.
        """
        for finding in self._found.values():
            finding.present &= not ended
        for signature, group in _by_signature(rows).items():
            row = group[0]
            finding = self._found.get(signature) or _new(row, end_s, uptime_s, boot_id)
            self._found[signature] = finding
            if finding.boot_id != boot_id:
                finding.boot_id, finding.boots, finding.said = boot_id, finding.boots + 1, ""
                finding.first_seen_boot_s, finding.confirmed_s, finding.triggered = uptime_s, 0.0, False
            _update(finding, group, end_s)
        self._forget()
        return self._to_report([each for each in self._found.values() if each.present])

    def settled(self, rows: Iterable[Mapping[str, Any]], boot_id: str, ended: bool) -> list[dict[str, Any]]:
        """The findings of a judgement (READ), with the class that they are known by."""
        suspects = {
            each.signature
            for each in self._found.values()
            if each.class_ == SUSPECT and each.boot_id == boot_id and each.present
            if not ended or each.confirmed_s
        }
        keeps = [row["class"] == GROWING and row["signature"] in suspects for row in rows]
        return [
            {**row, "class": SUSPECT} if kept else dict(row) for row, kept in zip(rows, keeps, strict=True)
        ]

    def confirm(self, rows: Iterable[Mapping[str, Any]], end_s: float) -> list[Finding]:
        """Take the findings of a triggered recording; gives those to report."""
        confirmed = {row["signature"] for row in rows if row["class"] == SUSPECT}
        found = [each for each in self._found.values() if each.signature in confirmed and each.present]
        for finding in found:
            finding.confirmed_s, finding.class_ = end_s, SUSPECT
        return self._to_report(found)

    def all(self) -> list[Finding]:
        """Those that are there first, the gravest first."""
        return sorted(self._found.values(), key=_order)

    def to_json(self) -> list[dict[str, Any]]:
        """All of them, for `from_json`."""
        return [asdict(each) for each in self.all()]

    def _to_report(self, findings: Iterable[Finding]) -> list[Finding]:
        new = [each for each in findings if _is_graver(each)]
        for finding in new:
            finding.said = finding.class_
        return sorted(new, key=_order)

    def _forget(self) -> None:
        for each in self.all()[MOST:]:
            del self._found[each.signature]


def from_json(rows: Any) -> Known:
    """What `Known.to_json` gave; what is none is left out."""
    names = [field.name for field in fields(Finding)]
    found = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and all(_fits(row.get(name), name) for name in names):
            found.append(Finding(**{name: row[name] for name in names}))
    return Known(found[:MOST])


_NUMBERS = frozenset(
    {
        "first_seen_s", "since_s", "first_seen_boot_s", "last_seen_s", "boots", "objects", "bytes",
        "growth_bytes_per_s", "growth_certain_bytes_per_s", "confirmed_s",
    }
)  # fmt: skip


def _fits(value: Any, name: str) -> bool:
    if name in ("present", "triggered"):
        return isinstance(value, bool)
    if name in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def _by_signature(rows: Iterable[Mapping[str, Any]]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Rows of suspects and of what grows: the MOST_NEW signatures of which most is certain, gravest first."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    graves = sorted(
        (row for row in rows if row["class"] in CLASSES),
        key=lambda row: (CLASSES.index(row["class"]), -(row["growth_low_per_day"] or 0), row["signature"]),
    )
    for row in graves:
        groups.setdefault(row["signature"], []).append(row)
    return dict(list(groups.items())[:MOST_NEW])


def _new(row: Mapping[str, Any], end_s: float, uptime_s: float, boot_id: str) -> Finding:
    since_s = end_s - (row["oldest_s"] or 0)
    return Finding(
        row["signature"], row["title"][:MOST_TEXT], row["cache"][:MOST_TEXT], end_s, since_s, boot_id,
        uptime_s, end_s,
    )  # fmt: skip


def _update(finding: Finding, group: Sequence[Mapping[str, Any]], end_s: float) -> None:
    """What a judgement says of it; of several stacks with one class their sum."""
    row = group[0]
    same = [each for each in group if each["class"] == row["class"]]
    finding.present, finding.last_seen_s, finding.class_ = True, end_s, row["class"]
    finding.since_s = min(finding.since_s, *(end_s - (each["oldest_s"] or 0) for each in same))
    finding.objects, finding.bytes = (sum(each[name] or 0 for each in same) for name in ("objects", "bytes"))
    finding.growth_bytes_per_s = sum(each["growth_per_day"] or 0 for each in same) / DAY_S
    finding.growth_certain_bytes_per_s = sum(each["growth_low_per_day"] or 0 for each in same) / DAY_S
    finding.stack = row["stack"][:MOST_STACK]
    for name in ("module", "object", "command", "unit", "container", "why"):
        setattr(finding, name, row[name][:MOST_TEXT])


def _is_graver(finding: Finding) -> bool:
    said = CLASSES.index(finding.said) if finding.said in CLASSES else len(CLASSES)
    return CLASSES.index(finding.class_) < said


def _order(finding: Finding) -> tuple[bool, int, float, float, str]:
    grave = CLASSES.index(finding.class_) if finding.class_ in CLASSES else len(CLASSES)
    certain = -finding.growth_certain_bytes_per_s
    return not finding.present, grave, certain, -finding.last_seen_s, finding.signature
