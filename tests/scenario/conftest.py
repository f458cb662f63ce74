"""What the scenarios of one file share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from scenario.side_by_side import start


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def side_by_side(
    request: pytest.FixtureRequest,
) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """The slow scenarios of this file that are to be run, under way."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    names = {item.originalname for item in items if item.module is request.module}
    tasks = start(request.module.__name__, names)
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
