"""What holds in a channel, and what people changed there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.config import AnswersConfig, Config, ModelConfig, Override
from core.errors import ConfigError
from core.messages import Author, Place
from core.settings import DEFAULTS, PERSONA, Settings
from core.storage import Op, Store, query
from core.storage.sqlite import SqliteStore

HERE = Place("slack", "T1", "C1")
NEXT_DOOR = Place("slack", "T1", "C2")
ELSEWHERE = Place("slack", "T2", "C1")
ANN = Author("U1", "Ann", may_configure=True)

CONFIG = Config(
    model=ModelConfig(name="main", persona="general", choices=("small", "big"), params={"seed": 1}),
    answers=AnswersConfig(merge=True),
    workspaces={
        "T1": Override(persona="workspace", mode="thread", enabled=False),
        "slack:T1": Override(persona="named workspace"),
    },
    channels={"C1": Override(mode="every", enabled=True), "slack:T2:C1": Override(merge=False)},
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A real database."""
    async with SqliteStore(tmp_path / "settings.db") as store:
        yield store


@pytest.fixture
async def settings(store: Store) -> Settings:
    """Loaded from an empty table."""
    settings = Settings(CONFIG, store)
    await settings.load()
    return settings


async def test_the_file_alone(settings: Settings) -> None:
    """Channel wins over workspace over general, and a full key over a bare id."""
    here = settings.resolve(HERE)

    assert (here.is_enabled, here.mode, here.persona, here.model) == (
        True,
        "every",
        "named workspace",
        "main",
    )
    assert here.merge
    assert not settings.resolve(ELSEWHERE).merge
    assert not settings.resolve(NEXT_DOOR).is_enabled
    assert settings.resolve(Place("discord", "T9", "C9")).persona == "general"


async def test_a_change_in_chat_wins(settings: Settings) -> None:
    """Changed for the channel wins over changed for the workspace over the file."""
    assert settings.resolve(HERE).persona == "named workspace"
    await settings.change(HERE, ANN, "persona", "all", scope="workspace")
    await settings.change(HERE, ANN, "persona", "here")

    assert settings.resolve(HERE).persona == "here"
    assert settings.resolve(NEXT_DOOR).persona == "all"
    assert settings.resolve(ELSEWHERE).persona == "general"


async def test_reset_gives_back_the_next_layer(settings: Settings) -> None:
    """A reset takes one scope's change away and says whether there was one."""
    await settings.change(HERE, ANN, "model", "small", scope="workspace")
    await settings.change(HERE, ANN, "model", "big")

    assert await settings.reset(HERE, "model")
    assert settings.resolve(HERE).model == "small"
    assert not await settings.reset(HERE, "model")
    assert await settings.reset(HERE, "model", scope="workspace")
    assert settings.resolve(HERE).model == "main"


async def test_changes_survive(settings: Settings, store: Store) -> None:
    """A later process resolves what was changed before it."""
    await settings.change(HERE, ANN, "temperature", 0.25)
    await settings.change(HERE, ANN, "whole_channel", True)
    later = Settings(CONFIG, store)
    await later.load()

    assert later.resolve(HERE) == settings.resolve(HERE)
    assert later.resolve(HERE).temperature == 0.25
    assert later.resolve(HERE).whole_channel


async def test_refresh_follows_other_processes(settings: Settings, store: Store) -> None:
    """What another process changed or reset holds here after a refresh."""
    other = Settings(CONFIG, store)
    await other.load()
    await settings.change(HERE, ANN, "model", "big")
    assert other.resolve(HERE).model == "main"

    await other.refresh()
    assert other.resolve(HERE).model == "big"
    await settings.reset(HERE, "model")
    await other.refresh()
    assert other.resolve(HERE).model == "main"


async def test_a_refresh_takes_no_change_back(settings: Settings) -> None:
    """Refreshes and changes that overlap end with the last change."""
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(settings.change(HERE, ANN, "persona", f"p{number}"))
            group.create_task(settings.refresh())

    assert settings.resolve(HERE).persona == "p19"


async def test_params_are_laid_over_each_other(settings: Settings) -> None:
    """Parameters from chat add to those of the file instead of replacing them."""
    await settings.change(HERE, ANN, "params", {"top_p": 0.5}, scope="workspace")
    await settings.change(HERE, ANN, "params", {"seed": 2})

    assert settings.resolve(HERE).params == {"seed": 2, "top_p": 0.5}
    assert settings.resolve(NEXT_DOOR).params == {"seed": 1, "top_p": 0.5}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 3),
        ("temperature", "hot"),
        ("temperature", None),
        ("mode", "sometimes"),
        ("persona", "x" * (PERSONA + 1)),
        ("persona", None),
        ("model", "gpt-unlisted"),
        ("model", None),
        ("api_key", "x"),
    ],
)
async def test_wrong_values_are_refused(settings: Settings, name: str, value: object) -> None:
    """A value that the file could not hold, or a model that is not offered, changes nothing."""
    before = settings.resolve(HERE)
    with pytest.raises(ConfigError):
        await settings.change(HERE, ANN, name, value)
    await settings.load()

    assert settings.resolve(HERE) == before


async def test_a_withdrawn_model_is_not_used(settings: Settings, store: Store) -> None:
    """A model chosen in chat stops being used when the operator no longer offers it."""
    await settings.change(HERE, ANN, "model", "big")
    later = Settings(Config(model=ModelConfig(name="main", choices=("small",))), store)
    await later.load()

    assert later.resolve(HERE).model == "main"


async def test_unreadable_rows_are_passed_over(store: Store) -> None:
    """A row of another version, or a broken one, leaves the rest in force."""

    def rows() -> Op[None]:
        for name, value in (
            ("mode", '"odd"'),
            ("later", "1"),
            ("persona", "{"),
            ("merge", "false"),
        ):
            yield query(
                "settings.put", scope="slack:T1:C1", name=name, value=value, set_by="U1", now=1.0
            )

    await store.write(rows())
    settings = Settings(CONFIG, store)
    await settings.load()

    assert not settings.resolve(HERE).merge
    assert settings.resolve(HERE).mode == "every"


async def test_every_setting_is_explained(store: Store) -> None:
    """Each setting names its value and the chat, the file's key, or the default it came from."""
    config = Config(
        channels={"C1": Override(mode="every")},
        sources={"channels.C1.mode": "talkwarden.toml"},
    )
    settings = Settings(config, store)
    await settings.change(HERE, ANN, "persona", "a pirate")
    found = {name: (value, source) for name, value, source in settings.explain(HERE)}

    assert set(found) == set(DEFAULTS)
    assert found["persona"] == ("a pirate", "changed in chat for this channel by U1")
    assert found["mode"] == ("every", "channels.C1.mode (talkwarden.toml)")
    assert found["merge"] == (False, "default")
