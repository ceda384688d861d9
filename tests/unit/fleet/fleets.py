# SPDX-License-Identifier: Apache-2.0
"""Synthetic fleets with known answers: digests of a fixture, with other hosts, builds, rates and stacks.

Each host has another kmalloc-rnd copy, each build other offsets, compiler copies (.isra) and wrappers, so one
leak looks different everywhere.  `Plan` says what is planted; the same plan gives the same digests.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

import pyarrow as pa

import slabtrace
from slabtrace.fleet.digests.file import FACTS, SCHEMA, Digest, encoded_table
from slabtrace.fleet.digests.fingerprint import fingerprint
from slabtrace.fleet.digests.making import digest_frame
from slabtrace.fleet.merging.merged import Merged, Row, grown_of, row_of
from slabtrace.fleet.signatures.signature import signature
from tests.places import FIXTURES

BUILDS = ("5.10.0-32-amd64", "6.1.0-31-amd64", "6.12.9-amd64", "7.3.4-amd64")
LEAKY_BUILD = 2
DAY_S = 86_400
START_S = 1_790_000_000  # in September 2026


@dataclass(frozen=True)
class Plan:
    """A fleet of `hosts`.  `leaking` of them leak, all on BUILDS[LEAKY_BUILD]; each has `benign` findings
    that do not grow, of which `false_suspects` of a host (a probability) is called a suspect.
    """

    hosts: int = 1000
    leaking: int = 30
    benign: int = 200
    false_suspects: float = 0.01
    seed: int = 1


@cache
def template() -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of the trace and that of the leak, of the digest of fixtures/slow-leak.slab."""
    path = FIXTURES / "slow-leak.slab"
    trace, leak = (
        pa.Table.from_pandas(digest_frame(slabtrace.open(path), path.name, fingerprint(path)), SCHEMA)
        .slice(0, 2)
        .to_pylist()
    )
    return trace, leak


def stack_of(group: int, build: int, rng: random.Random) -> tuple[str, list[str]]:
    """The cache and stack of a group of findings, as this build and this boot show it."""
    suffix = ("", ".isra.0", ".constprop.0", ".part.0")[build]
    modern, size = build >= 2, 32 << group % 5
    helper = f"kmalloc_trace{'_noprof' if modern else ''}+{0x10 + build:#x}"
    wrapper = f"__{'x64' if modern else 'do'}_sys_call{group}+{0x20 + build:#x}"
    entry = ["x64_sys_call+0x9"] if modern else []
    own = [f"keep_{group}{suffix}+{0x31 + 7 * build:#x}", f"handle_{group}+{0x44 + build:#x}"]
    copy = f"rnd-{rng.randrange(16):02}-" if modern else ""
    return f"kmalloc-{copy}{size}", [helper, *own, wrapper, *entry, "do_syscall_64+0x71"]


@cache
def _named(group: int, build: int, cache_name: str, stack: tuple[str, ...]) -> dict[str, Any]:
    found = signature(cache_name, stack, stack[0])
    return {
        "signature": found.issue, "variant": found.variant, "title": found.title, "family": found.family,
        "local": found.local, "cache": cache_name, "stack": "\n".join(stack),
    }  # fmt: skip


def finding(group: int, build: int, rng: random.Random, **values: Any) -> dict[str, Any]:
    """The row of a finding of this group; it is retained unless `values` say otherwise."""
    _, leak = template()
    cache_name, stack = stack_of(group, build, rng)
    quiet = {name: None for name in leak if name.startswith(("rate", "growth"))}
    return {
        **leak,
        **quiet,
        **_named(group, build, cache_name, tuple(stack)),
        "class": "retained",
        "why": "",
        **values,
    }


def suspect(growth: int, **values: Any) -> dict[str, Any]:
    """Values of a suspect that grows by so many bytes a day, in objects of 64 bytes."""
    rate = max(growth // 64, 1)
    return {
        "class": "suspect", "growth_per_day": growth, "growth_low_per_day": growth * 3 // 4,
        "growth_high_per_day": growth * 4 // 3, "rate_per_day": rate, "rate_low_per_day": rate * 3 // 4,
        "rate_high_per_day": rate * 4 // 3, "bytes": growth, "confidence": "bounded", "maybe_freed": 0,
        **values,
    }  # fmt: skip


def facts_of(number: int, build: int, rng: random.Random, **values: Any) -> dict[str, Any]:
    """The facts of a host's trace."""
    trace, _ = template()
    seed = f"{number}/{rng.random()}"
    name = blake2b(seed.encode(), digest_size=16).hexdigest()
    labels = {"role": rng.choice(("db", "web", "cache", "batch")), "region": rng.choice(("eu", "us", "ap"))}
    modules = {"xfs", "nf_conntrack", *(f"mod_{at}" for at in range(40) if rng.random() < 0.5)}
    begin = START_S + rng.randrange(DAY_S)
    boot = begin - rng.randrange(DAY_S, 30 * DAY_S)
    facts = {
        "row": "trace", "fingerprint": name, "trace": f"host-{number:05}.slab", "host": f"host-{number:05}",
        "boot_id": name[:8], "release": BUILDS[build], "kernel": f"#1 {BUILDS[build]}", "machine": "x86_64",
        "build_id": blake2b(BUILDS[build].encode(), digest_size=20).hexdigest(),
        "os": "debian 12", "memory_bytes": 64 << 30, "cpus": 32, "labels": json.dumps(labels),
        "modules": " ".join(sorted(modules)), "boot_s": boot, "begin_s": begin, "end_s": begin + 3600,
        "begin_ns": (begin - boot) * 10**9, "end_ns": (begin - boot + 3600) * 10**9, "filters": "",
        "cache_globs": "", "partial": False, "least_per_day": 24 * 24, "status": "complete", "damage": "",
    }  # fmt: skip
    return {**trace, **facts, **values}


def digest_of(facts: dict[str, Any], findings: list[dict[str, Any]]) -> bytes:
    """The digest, as a file."""
    same = {name: facts[name] for name in FACTS}
    empty = {**facts, "findings": len(findings)}
    rows = [empty, *({**each, **same, "row": "finding"} for each in findings)]
    columns = {name: [row.get(name) for row in rows] for name in SCHEMA.names}
    for field in SCHEMA:
        if field.type == pa.string():
            columns[field.name] = [each or "" for each in columns[field.name]]
    columns["local"] = [bool(each) for each in columns["local"]]
    return encoded_table(pa.table(columns, schema=SCHEMA))


def contents(plan: Plan) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The facts and findings of each host."""
    rng = random.Random(plan.seed)
    builds = [number % len(BUILDS) for number in range(plan.hosts)]
    on_build = [number for number, build in enumerate(builds) if build == LEAKY_BUILD]
    leaking = set(rng.sample(on_build, plan.leaking))
    for number, build in enumerate(builds):
        facts = facts_of(number, build, rng)
        quiet = [finding(group, build, rng) for group in range(plan.benign)]
        if rng.random() < plan.false_suspects:
            group = rng.randrange(max(plan.benign, 1))
            quiet[group : group + 1] = [finding(group, build, rng, **suspect(rng.randrange(10**4, 10**6)))]
        if number in leaking:
            quiet.append(finding(1000, build, rng, **suspect(rng.randrange(10**6, 10**7))))
        yield facts, quiet


def suspects_of(plan: Plan) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """As `contents`, without the findings that do not grow: for hundreds of fleets."""
    rng = random.Random(plan.seed)
    for number in range(plan.hosts):
        build, found = number % len(BUILDS), []
        facts = facts_of(number, build, rng)
        if rng.random() < plan.false_suspects:
            found = [finding(rng.randrange(plan.benign), build, rng, **suspect(rng.randrange(10**4, 10**6)))]
        yield facts, found


def digests(plan: Plan) -> Iterator[tuple[str, bytes]]:
    """(name, file) of each host's digest."""
    for facts, findings in contents(plan):
        yield facts["host"], digest_of(facts, findings)


def row(facts: dict[str, Any], findings: list[dict[str, Any]], place: str = "") -> Row:
    """The row that merging takes, through a file."""
    content = digest_of(facts, findings)
    return row_of(Digest(content, facts["host"]), place or facts["host"], blake2b(content).hexdigest())


def quick_row(facts: dict[str, Any], findings: list[dict[str, Any]]) -> Row:
    """The same without a file, for large fleets; only its `digest` differs."""
    grown = tuple(sorted(grown_of(each) for each in findings if each["class"] in ("suspect", "growing")))
    young = frozenset(each["signature"] for each in findings if each["class"] == "young")
    named = {name: facts[name] for name in FACTS} | {"findings": len(findings)}
    return Row(named, facts["host"], "", grown, young)


def merged(rows: list[Row]) -> Merged:
    """All of them."""
    state = Merged()
    for each in rows:
        state.add(each)
    return state
