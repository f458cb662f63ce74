"""What only keys with the scope admin may do over the HTTP API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scenario.rest_side import ApiUnderTest, api_under_test

from core.keys import revoke_op
from core.rates import Limits
from core.storage import Store

CHAT = "/v1/chat/completions"
HELLO = {"messages": "hello"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    prices = {"prices": {"offline": {"input": 1e6, "output": 1e6}}}
    async with api_under_test(tmp_path / "api.db", usage=prices) as found:
        yield found


def id_of(key: str) -> str:
    """The part of a key that lists show."""
    return key.split("_")[1]


class TestUsage:
    """`GET /v1/usage` about others."""

    async def test_of_all_keys(self, api: ApiUnderTest) -> None:
        """What they used together, and each of them with what it has left."""
        admin = await api.make_key("admin")
        limited = await api.make_key(limits=Limits(requests_per_day=3))
        await api.post(CHAT, HELLO)
        for _ in range(2):
            await api.post(CHAT, HELLO, key=limited)

        found = (await api.get("/v1/usage?key=all", key=admin)).body
        keys = {each["id"]: each for each in found["keys"]}
        own = (await api.get("/v1/usage", key=limited)).body

        assert found["requests"] == 3
        assert found["cost"] == sum(each["cost"] for each in keys.values()) > 0
        assert [keys[id_of(each)]["requests"] for each in (api.key, limited, admin)] == [1, 2, 0]
        (limit,) = keys[id_of(limited)]["limits"]
        assert (limit["kind"], limit["remaining"]) == ("requests", 1)
        assert keys[id_of(limited)]["total_tokens"] == own["total_tokens"]

    async def test_of_one_key(self, api: ApiUnderTest) -> None:
        """What its owner would see."""
        admin = await api.make_key("admin")
        key = await api.make_key(limits=Limits(tokens_per_month=100))
        await api.post(CHAT, HELLO, key=key)

        own = (await api.get("/v1/usage", key=key)).body
        found = (await api.get(f"/v1/usage?key={id_of(key)}", key=admin)).body

        for body in (own, found):
            del body["limits"][0]["resets_in"]
        assert found == own
        assert found["requests"] == 1

    async def test_of_a_key_that_ended(self, api: ApiUnderTest) -> None:
        """What it used stays known; nothing is left of its limits."""
        admin = await api.make_key("admin")
        await api.post(CHAT, HELLO)
        await api.store.write(revoke_op(id_of(api.key), time.time()))

        found = (await api.get("/v1/usage?key=all", key=admin)).body
        (ended,) = (each for each in found["keys"] if each["id"] == id_of(api.key))

        assert (ended["state"], ended["requests"], ended["limits"]) == ("revoked", 1, [])

    @pytest.mark.parametrize("whose", ["all", "nobody"])
    async def test_others_may_not_ask(self, api: ApiUnderTest, whose: str) -> None:
        """403 for keys without the scope, whether or not there is such a key."""
        for key in (api.key, await api.make_key("read")):
            answer = await api.get(f"/v1/usage?key={whose}", key=key)

            assert (answer.status, answer.error["code"]) == (403, "insufficient_scope")

    async def test_what_can_not_be_told(self, api: ApiUnderTest) -> None:
        """A key that there is not, and a conversation of another key's."""
        admin = await api.make_key("admin")
        unknown = await api.get("/v1/usage?key=nobody", key=admin)
        both = await api.get("/v1/usage?key=all&conversation_id=x", key=admin)

        assert (unknown.status, unknown.error["param"]) == (404, "key")
        assert (both.status, both.error["param"]) == (400, "key")

    async def test_processes_know_of_one_another(self, postgres_store: Store) -> None:
        """What a key has left counts what it asked of others."""
        async with api_under_test(postgres_store) as left:
            admin = await left.make_key("admin")
            key = await left.make_key(limits=Limits(requests_per_day=4))
            async with api_under_test(postgres_store, model=left.model, key=admin) as right:
                await left.post(CHAT, HELLO, key=key)

                async def left_of() -> int:
                    keys = (await right.get("/v1/usage?key=all")).body["keys"]
                    (limit,) = (limit for each in keys for limit in each["limits"])
                    return int(limit["remaining"])

                async with asyncio.timeout(10):
                    while await left_of() != 3:  # noqa: ASYNC110  # nothing tells when it is known
                        await asyncio.sleep(0.05)
