"""What a doctor's report says of an endpoint, line by line."""

from __future__ import annotations

import asyncio

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.doctor import SLOW_S, Finding, examine, is_well, report, verdict, versions
from deepseek_magic.engine.hosts.endpoints import resolve


async def test_an_endpoint_that_answers_is_well_and_each_step_has_a_line() -> None:
    async with DemoServer(pace=0) as server:
        findings = await examine(resolve(server.base_url))
    assert is_well(findings)
    assert len(findings) == len({finding.subject for finding in findings}) == 7


async def test_an_endpoint_that_is_not_there_is_not_well() -> None:
    async with DemoServer(pace=0) as server:
        url = server.base_url
    findings = await examine(resolve(url))
    assert not is_well(findings)
    assert str(findings[-1]).startswith("FAIL")


@pytest.mark.parametrize(
    ("ok", "seconds", "first"),
    [(None, None, "--"), (False, 0.1, "FAIL"), (True, 0.1, "ok"), (True, SLOW_S + 1, "SLOW"), (True, None, "ok")],
)
def test_a_line_begins_with_its_verdict(ok: bool | None, seconds: float | None, first: str) -> None:
    assert str(Finding(subject="name", ok=ok, said="fine", seconds=seconds)).split()[0] == first


def test_the_last_sentence_tells_all_some_and_none_apart() -> None:
    assert len({str(verdict(well)) for well in ([True, True], [True, False], [False, False])}) == 3


def test_every_version_that_matters_is_named() -> None:
    assert {"deepseek-magic", "httpcore", "Python"} <= {finding.subject for finding in versions()}


def test_a_report_prints_each_endpoint_with_its_findings_and_then_the_versions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with DemoServer(pace=0) as server:
        assert report([resolve(server.base_url)], asyncio.run) == [True]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith(server.base_url)
    assert printed[8:] == [str(finding) for finding in versions()]
