"""The OpenAPI document: held against the server by schemathesis, and shown as a page."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from scenario.rest_side import ApiUnderTest, api_under_test

from bots.simulators.completions import CompletionsSimulator

FITTING = {
    "array": "[]", "boolean": "true", "integer": "1", "null": "null", "number": "1.5",
    "object": "{}", "string": '"text"',
}  # fmt: skip


def fitting(body: Mapping[str, Any]) -> str:
    """A model that gives what the request's schema asks for."""
    wanted = body.get("response_format") or {}
    schema = (wanted.get("json_schema") or {}).get("schema") or {}
    return FITTING.get(schema.get("type", "object"), "{}")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    async with (
        CompletionsSimulator(answer=fitting) as model,
        api_under_test(tmp_path / "api.db", model=model) as found,
    ):
        yield found


@pytest.mark.timeout(600)
async def test_the_document_holds(api: ApiUnderTest, tmp_path: Path) -> None:
    """No check of schemathesis fails: statuses, shapes, bad data refused, good data taken."""
    key = await api.make_key("admin")
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{api.address}/openapi.json",
        "-H", f"Authorization: Bearer {key}", "--checks", "all",
        "--phases", "coverage,fuzzing", "--max-examples", "3", "--seed", "1",
        # what answers without /v1 too is the same route twice
        "--include-path-regex", "^/(v1/|health|ready|metrics)",
        "--request-timeout", "30", "--suppress-health-check", "all",
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()

    assert process.returncode == 0, out.decode()[-12_000:]


async def test_every_path_is_described(api: ApiUnderTest) -> None:
    """Each operation has a name of its own, and names what it takes and gives."""
    found = (await api.get("/openapi.json", key="")).body
    operations = [each for methods in found["paths"].values() for each in methods.values()]

    assert len(operations) > 40
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["responses"] for each in operations)


async def test_the_page(api: ApiUnderTest) -> None:
    """It needs no script and nothing from elsewhere."""
    page = (await api.get("/docs", key="")).body

    assert "/v1/chat/completions" in page
    assert "with <code>parent_id</code> from there on" in page
    assert "<script" not in page
    assert "https://" not in page.replace("https://a.example", "")


async def test_operators_need_no_key(api: ApiUnderTest) -> None:
    """Health, readiness and counters."""
    assert (await api.get("/health", key="")).body == {"status": "ok"}
    assert (await api.get("/ready", key="")).status == 200
    assert (await api.get("/nowhere", key="")).status == 404
    api.counters.count("turns.done", outcome="answered")
    metrics = await api.get("/metrics", key="")
    assert 'talkwarden_turns_done_total{outcome="answered"} 1.0' in metrics.body
    for method, path, status in (("GET", "/health", 200), ("GET", "unknown", 404)):
        labels = f'method="{method}",path="{path}",status="{status}"'
        assert f"talkwarden_rest_requests_total{{{labels}}} " in metrics.body
