"""What several tests of the core start from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from fakes.core import CoreUnderTest, core_under_test

from core import delivery as deliveries
from core import engine as engines

Make = Callable[..., AbstractAsyncContextManager[CoreUnderTest]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A core on this test's own database."""

    def made(**more: Any) -> AbstractAsyncContextManager[CoreUnderTest]:
        return core_under_test(tmp_path / "t.db", **more)

    return made


@pytest.fixture
async def core(make: Make) -> AsyncIterator[CoreUnderTest]:
    """The default core with a model that repeats the question."""
    async with make() as found:
        yield found


@pytest.fixture
def quick_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without their pauses."""
    monkeypatch.setattr(engines, "BACKOFF", 0.01)
    monkeypatch.setattr(deliveries, "MAX_PAUSE", 0.001)
