# SPDX-License-Identifier: Apache-2.0
"""Metrics: known values, a bounded number of series, hostile names, and what Prometheus's own tools say."""

from __future__ import annotations

import json
import random
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from slabtrace.commands import main
from slabtrace.fleet.metrics.families import MOST_CACHES, MOST_SUSPECTS, OTHER, Family, families
from tests.browser.test_report_page import HOSTILE
from tests.needs import need_program
from tests.places import FIXTURES, ROOT
from tests.unit.fleet import fleets

pytest.importorskip("prometheus_client")
DEPLOY = ROOT / "deploy"


def rows(number: int, **values: Any) -> list[dict[str, Any]]:
    rng = random.Random(1)
    made = [fleets.finding(at, 0, rng, **fleets.suspect(64 * 86_400 * (at + 1))) for at in range(number)]
    return [{**each, "objects": 10, "oldest_s": 60, **values} for each in made]


def facts(**values: Any) -> dict[str, Any]:
    return fleets.facts_of(1, 2, random.Random(1), **values)


def named(made: list[Family]) -> dict[str, Family]:
    return {each.name: each for each in made}


@pytest.fixture
def textfile(tmp_path: Path) -> str:
    """The textfile of a real recording."""
    assert main.run(["digest", str(FIXTURES / "slow-leak.slab"), "-o", str(tmp_path)]) == 0
    assert main.run(["metrics", str(tmp_path), "-o", str(tmp_path / "s.prom")]) == 0
    return (tmp_path / "s.prom").read_text()


def test_values_of_suspects() -> None:
    made = named(families(facts(end_s=1_000_000), rows(2)))
    growth = made["slabtrace_suspect_growth_bytes_per_second"]
    assert growth.labels == ("signature", "cache", "function")
    assert [(labels[2], value) for labels, value in growth.samples] == [("keep_1", 128.0), ("keep_0", 64.0)]
    certain = made["slabtrace_suspect_growth_certain_bytes_per_second"]
    assert [value for _, value in certain.samples] == [96.0, 48.0]
    assert {value for _, value in made["slabtrace_suspect_since_timestamp_seconds"].samples} == {999_940.0}
    assert dict(made["slabtrace_findings"].samples)[("suspect",)] == 2


def test_ten_thousand_issues_make_no_more_series() -> None:
    made = families(facts(), rows(10_000))
    assert sum(len(each.samples) for each in made) <= 140
    by_name = named(made)
    assert len(by_name["slabtrace_suspect_bytes"].samples) == MOST_SUSPECTS
    assert by_name["slabtrace_suspects_not_exported"].samples == (((), 10_000.0 - MOST_SUSPECTS),)


def test_caches_beyond_the_first_are_one() -> None:
    each = rows(1)[0]
    found = [{**each, "cache": f"c{at:02}", "bytes": 100 - at, "objects": 1} for at in range(40)]
    samples = dict(named(families(facts(), found))["slabtrace_outstanding_bytes"].samples)
    assert len(samples) == MOST_CACHES + 1
    assert samples[(OTHER,)] == sum(100 - at for at in range(16, 40))
    same = dict(named(families(facts(), [each, each]))["slabtrace_outstanding_objects"].samples)
    assert same == {(each["cache"],): 20.0, (OTHER,): 0.0}  # caches of one name are one series


def test_hostile_names_survive_a_strict_parser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    rng = random.Random(1)
    found = [
        fleets.finding(at, 0, rng, **fleets.suspect(64)) | {"cache": text, "title": f"{text}: {text} < g"}
        for at, text in enumerate([*HOSTILE, 'a"b\\c\nd', "é" * 300])
    ]
    content = fleets.digest_of(facts(release='6"\n'), found)
    (tmp_path / "d.digest.parquet").write_bytes(content)
    assert main.run(["metrics", str(tmp_path), "-o", str(tmp_path / "s.prom")]) == 0
    parsed = {each.name: each for each in text_string_to_metric_families((tmp_path / "s.prom").read_text())}
    caches = {sample.labels["cache"] for sample in parsed["slabtrace_suspect_bytes"].samples}
    assert {'a"b\\c\nd', "é" * 120} <= caches and len(caches) == len(found)


def test_the_textfile_of_a_real_recording(textfile: str) -> None:
    assert 'slabtrace_suspect_bytes{cache="msg_msg-128",function="load_msg"' in textfile
    assert "slabtrace_events_total 9648.0" in textfile
    assert re.search(r'^slabtrace_kernel_info\{.*release="6\.18\.44-fc-v669"\} 1\.0$', textfile, re.M)
    assert not re.search(r"^slabtrace_\S+ \S+ \d+$", textfile, re.M), "a textfile must have no timestamps"


def test_promtool_finds_nothing_wrong(textfile: str) -> None:
    promtool = need_program("promtool")
    run = [promtool, "check", "metrics"]
    checked = subprocess.run(run, input=textfile, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_alert_rules_pass_their_tests() -> None:
    promtool = need_program("promtool")
    run = [promtool, "test", "rules", "slabtrace.test.yml"]
    tested = subprocess.run(run, cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_rules_and_dashboard_name_metrics_that_exist() -> None:
    dashboard = json.loads((DEPLOY / "grafana/slabtrace.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    text = "\n".join([*asked, (DEPLOY / "prometheus/slabtrace.rules.yml").read_text()])
    ends = {"counter": "_total", "info": "_info", "gauge": ""}
    known = {each.name + ends[each.kind] for each in families(facts(), rows(1))}
    assert set(re.findall(r"slabtrace_[a-z_]+", text)) <= {*known, "slabtrace_digest_unreadable"}


def test_an_endpoint_reads_the_newest_digest(tmp_path: Path) -> None:
    import prometheus_client
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict

    from slabtrace.fleet.metrics.exporter import registry

    def values() -> dict[str, float]:
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(urllib.request.Request(url, headers=accept)) as answer:
            found = strict(answer.read().decode())
            return {sample.name: sample.value for each in found for sample in each.samples}

    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry(tmp_path))
    try:
        assert values()["slabtrace_digest_unreadable"] == 1
        (tmp_path / "a.digest.parquet").write_bytes(fleets.digest_of(facts(events=5), rows(1)))
        assert (values()["slabtrace_events_total"], values()["slabtrace_digest_unreadable"]) == (5, 0)
        (tmp_path / "b.digest.parquet").write_bytes(b"damaged")
        assert values()["slabtrace_digest_unreadable"] == 1
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("listen", "address"),
    [("9796", ("127.0.0.1", 9796)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("[::1]:9796", ("::1", 9796))],
)
def test_addresses(listen: str, address: tuple[str, int]) -> None:
    from slabtrace.fleet.metrics.openmetrics import address_of

    assert address_of(listen) == address


WRONG = [[], ["-o", "x.prom", "--listen", "1"], ["--listen", "x"], ["--listen", "99999"]]


@pytest.mark.parametrize("options", WRONG)
def test_wrong_options_are_explained(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["metrics", str(tmp_path), *options]) == 2
    assert capsys.readouterr().err.startswith("slabtrace: ")


def test_without_a_digest_there_is_no_textfile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["metrics", str(tmp_path), "-o", str(tmp_path / "s.prom")]) == 2
    assert not (tmp_path / "s.prom").exists()
