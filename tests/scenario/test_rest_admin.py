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


def files_with(secret: str, folder: Path) -> list[Path]:
    """The database's files that hold it."""
    return [path for path in folder.iterdir() if secret.encode() in path.read_bytes()]


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


class TestKeys:
    """`/v1/keys`: what `talkwarden key` does."""

    async def test_from_its_making_to_its_end(self, api: ApiUnderTest) -> None:
        """It works with its scopes and limits until it is revoked, and is listed then too."""
        admin = await api.make_key("admin")
        wanted = {"name": " a  laptop ", "scopes": ["read", "chat"], "expires": "30d",
                  "limits": {"requests_per_day": 2, "tokens_per_day": None}}  # fmt: skip
        made = await api.post("/v1/keys", wanted, key=admin)
        key = made.body.pop("key")
        used = await api.post(CHAT, HELLO, key=key)
        ended = await api.delete(f"/v1/keys/{id_of(key)}", key=admin)
        again = await api.delete(f"/v1/keys/{id_of(key)}", key=admin)
        refused = await api.post(CHAT, HELLO, key=key)
        listed = await api.get("/v1/keys", key=admin)

        assert made.status == 201
        assert made.body["name"] == "a laptop"
        assert made.body["scopes"] == ["chat", "read"]
        assert made.body["limits"] == {"requests_per_day": 2}
        assert (used.status, used.headers["x-ratelimit-remaining-requests"]) == (200, "1")
        assert ended.body == again.body == {
            "id": id_of(key), "object": "key.revoked", "revoked": True
        }  # fmt: skip
        assert refused.error["code"] == "revoked_api_key"
        (found,) = (each for each in listed.body["data"] if each["id"] == id_of(key))
        assert found == {**made.body, "state": "revoked"}

    async def test_a_key_is_shown_once(self, api: ApiUnderTest, tmp_path: Path) -> None:
        """A retry makes no second one and shows the first without its secret, which no file has."""
        admin = await api.make_key("admin")
        wanted = {"name": "x", "scopes": ["chat"]}
        made = await api.post("/v1/keys", wanted, key=admin, idempotency_key="a")
        again = await api.post("/v1/keys", wanted, key=admin, idempotency_key="a")
        listed = await api.get("/v1/keys", key=admin)

        key = made.body.pop("key")
        assert again.headers["idempotency-replayed"] == "true"
        assert again.body == made.body
        assert made.body["expires"] is None
        assert [each["name"] for each in listed.body["data"]].count("x") == 1
        assert key not in str(listed.body)
        assert not files_with(key.rpartition("_")[2], tmp_path)

    async def test_others_may_not(self, api: ApiUnderTest) -> None:
        """403 without the scope, and nothing has changed."""
        own = f"/v1/keys/{id_of(api.key)}"
        for key in (api.key, await api.make_key("read")):
            answers = [
                await api.get("/v1/keys", key=key),
                await api.post("/v1/keys", {"name": "x", "scopes": ["admin"]}, key=key),
                await api.delete(own, key=key),
            ]
            assert [each.status for each in answers] == [403] * 3
        listed = await api.get("/v1/keys", key=await api.make_key("admin"))
        assert [each["state"] for each in listed.body["data"]] == ["active"] * 3

    async def test_all_that_is_wrong(self, api: ApiUnderTest) -> None:
        """400 with each field; what is misspelt is not passed over."""
        admin = await api.make_key("admin")
        body = {
            "name": "\x1b[2J", "scopes": ["write"], "expires": "2020-01-01", "expiry": "1d",
            "limits": {"requests_per_day": -1, "speed": 3},
        }  # fmt: skip
        answer = await api.post("/v1/keys", body, key=admin)

        assert answer.status == 400
        for path in ("name", "scopes[0]", "expires", "expiry", "limits.requests_per_day",
                     "limits.speed"):  # fmt: skip
            assert f"{path}: " in answer.error["message"]
        assert (await api.delete("/v1/keys/nobody", key=admin)).status == 404

    @pytest.mark.parametrize(
        ("field", "value"), [("expires", ""), ("expires", 30), ("name", ""), ("scopes", [])]
    )
    async def test_what_is_empty_is_refused(
        self, api: ApiUnderTest, field: str, value: object
    ) -> None:
        """400: a key that never ends is one whose `expires` is null or left out."""
        admin = await api.make_key("admin")
        body = {"name": "x", "scopes": ["chat"], field: value}
        answer = await api.post("/v1/keys", body, key=admin)

        assert (answer.status, answer.error["param"]) == (400, field)
