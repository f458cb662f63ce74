"""`check` against the simulated platforms, with what operators get wrong."""

from __future__ import annotations

import functools
import json
import socket
import sqlite3
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from bots.check import Report, check
from bots.discord import check as discord_check
from bots.findings import Finding, Probe, Reply, clock
from bots.simulators.completions import CompletionsSimulator, Options
from bots.simulators.discord import DiscordOptions, DiscordSimulator
from bots.simulators.slack import ALL_SCOPES, SlackOptions, SlackSimulator
from bots.slack import check as slack_check
from core.config_rest import RestConfig
from core.config_schema import (
    Config,
    DiscordConfig,
    FallbackConfig,
    ModelConfig,
    ModerationConfig,
    SlackConfig,
    StorageConfig,
)
from core.config_tools import ToolsConfig
from core.secret import Secret
from core.storage.sqlite import SqliteStore
from core.storage.status import newest


class Granting(SlackSimulator):
    """Names the granted scopes in a header of each answer, as Slack does."""

    def __init__(self, options: SlackOptions) -> None:
        super().__init__(options)
        self._granted = ", ".join(sorted(options.scopes))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await super()._handle(request)
        response.headers["x-oauth-scopes"] = self._granted
        return response


def slack_config(slack: SlackSimulator, **changes: Any) -> SlackConfig:
    given: dict[str, Any] = {
        "bot_token": Secret(slack.bot_token),
        "app_token": Secret(slack.app_token),
        "api_url": slack.api_url,
    }
    return SlackConfig(**given | changes)


def discord_config(discord: DiscordSimulator, **changes: Any) -> DiscordConfig:
    given: dict[str, Any] = {"token": Secret(discord.token), "api_url": discord.api_url}
    return DiscordConfig(**given | changes)


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[Config]:
    """A configuration whose model answers and whose database is not there yet."""
    async with CompletionsSimulator() as model:
        yield Config(
            model=ModelConfig(name="offline", base_url=model.base_url),
            storage=StorageConfig(url=f"sqlite:///{tmp_path}/a.db"),
        )


async def run(config: Config, **changes: Any) -> Report:
    config = msgspec.structs.replace(config, **changes)
    probes: dict[str, Probe] = {}
    if config.slack.is_enabled:
        probes["slack"] = functools.partial(slack_check.probe, config.slack)
    if config.discord.is_enabled:
        probes["discord"] = functools.partial(discord_check.probe, config.discord)
    return await check(config, probes)


def of(report: Report, area: str, *levels: str) -> list[str]:
    return [
        f"{finding.what} -> {finding.fix}"
        for finding in report.findings
        if finding.area.startswith(area) and (not levels or finding.level in levels)
    ]


async def test_everything_in_order(base: Config) -> None:
    """With both platforms, a model and a writable folder nothing fails and nothing is posted."""
    async with Granting(SlackOptions()) as slack, DiscordSimulator(DiscordOptions()) as discord:
        report = await run(base, slack=slack_config(slack), discord=discord_config(discord))

        assert [finding for finding in report.findings if finding.level != "ok"] == []
        assert report.exit_code == 0
        assert of(report, "slack")[0].startswith("this machine's clock agrees")
        assert slack.connections == []
        assert {call.method for call in slack.calls} <= {
            "auth.test", "bots.info", "apps.connections.open"
        }  # fmt: skip
        assert all(call.method == "GET" for call in discord.calls)


async def test_each_missing_scope_is_named_with_its_page(base: Config) -> None:
    """A missing scope fails, one line each; the agent's scope is a warning."""
    scopes = ALL_SCOPES - {"im:history", "files:read", "assistant:write"}
    async with Granting(SlackOptions(scopes=scopes)) as slack:
        report = await run(base, slack=slack_config(slack))

    failing = of(report, "slack", "FAIL")
    assert [line.partition(" ->")[0] for line in failing] == [
        "the bot token lacks the scope files:read",
        "the bot token lacks the scope im:history",
    ]
    assert all("https://api.slack.com/apps/A0SIMULATOR/oauth" in line for line in failing)
    assert "no agent feature" in of(report, "slack", "warn")[0]
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"bot_token": Secret("xoxb-wrong-token-1234")}, "rejects SLACK_BOT_TOKEN (invalid_auth)"),
        ({"app_token": Secret("xapp-wrong-token-1234")}, "rejects SLACK_APP_TOKEN (invalid_auth)"),
        ({"app_token": Secret("xoxb-simulated-bot")}, "SLACK_APP_TOKEN holds a token of another"),
        ({"api_url": "http://127.0.0.1:1/api/"}, "can't be reached"),
    ],
)
async def test_slack_refusals(base: Config, changes: dict[str, Any], expected: str) -> None:
    """A wrong token is named by its variable, and never printed."""
    async with Granting(SlackOptions()) as slack:
        report = await run(base, slack=slack_config(slack, **changes))

    (line,) = of(report, "slack", "FAIL")
    assert expected in line
    assert "wrong-token" not in report.text()
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [("missing_scope", "lacks the scope connections:write"), ("no_way", "A0SIMULATOR/socket-mode")],
)
async def test_socket_mode_refused(base: Config, code: str, expected: str) -> None:
    """A token without its scope and a switched-off Socket Mode are told apart."""
    async with Granting(SlackOptions()) as slack:
        slack.fail("apps.connections.open", error=code)
        report = await run(base, slack=slack_config(slack))

    (line,) = of(report, "slack", "FAIL")
    assert expected in line


async def test_http_mode_opens_no_socket(base: Config) -> None:
    """HTTP mode asks nothing of Socket Mode, and says where to enter the address."""
    async with Granting(SlackOptions(mode="http")) as slack:
        config = slack_config(slack, app_token=None, signing_secret=Secret("shh"), mode="http")
        report = await run(base, slack=config)

        assert slack.count("apps.connections.open") == 0
    assert "/event-subscriptions" in of(report, "slack")[-1]


async def test_scopes_that_slack_does_not_tell(base: Config) -> None:
    """Without the header nothing is claimed."""
    async with SlackSimulator(SlackOptions()) as slack:
        slack.fail("auth.test", status=200, body='{"ok": true, "team": "T", "user": "u"}')
        report = await run(base, slack=slack_config(slack))

    assert "did not say" in of(report, "slack", "warn")[0]


async def test_discord_intent_off(base: Config) -> None:
    """The moderator profile without its intent fails with the page; the assistant's does not."""
    async with DiscordSimulator(DiscordOptions(message_content=False)) as discord:
        moderator = await run(base, discord=discord_config(discord, profile="moderator"))
        assistant = await run(base, discord=discord_config(discord))
        page = f"https://discord.com/developers/applications/{discord.application_id}/bot"

    (line,) = of(moderator, "discord", "FAIL")
    assert page in line
    assert of(assistant, "discord", "FAIL") == []


async def test_what_moderation_needs(base: Config) -> None:
    """Scopes, permissions and the members intent that only actions need are told as such."""
    scopes = ALL_SCOPES - {"channels:manage"}
    options = DiscordOptions(guild_members=False)
    async with Granting(SlackOptions(scopes=scopes)) as slack, DiscordSimulator(options) as discord:
        given = slack_config(slack, admin_token=Secret(slack.admin_token))
        watching = discord_config(discord, profile="moderator", members=True)
        report = await run(base, slack=given, discord=watching)
        wrong = slack_config(slack, admin_token=Secret("xoxp-wrong"))
        refused = await run(base, slack=wrong)

    assert any("channels:manage" in line for line in of(report, "slack", "warn"))
    assert any("messages are deleted as" in line for line in of(report, "slack", "ok"))
    assert any("Slack rejects SLACK_ADMIN_TOKEN" in line for line in of(refused, "slack", "FAIL"))
    assert "Server Members Intent" in of(report, "discord", "FAIL")[0]
    (line,) = of(report, "discord", "warn")
    assert "ban members" in line
    assert "manage messages" not in line


async def test_discord_permissions_and_token(base: Config) -> None:
    """Missing permissions are named by server with the invite link; a bad token by its page."""
    few = 1 << 10 | 1 << 11
    options = DiscordOptions(bot_permissions=few, member_permissions=few)
    async with DiscordSimulator(options) as discord:
        poor = await run(base, discord=discord_config(discord))
        bad = await run(base, discord=discord_config(discord, token=Secret("wrong.discord.token")))

    (line,) = of(poor, "discord", "warn")
    assert "Harbour" in line
    assert "read message history" in line
    assert "permissions=309237713920" in line
    (line,) = of(bad, "discord", "FAIL")
    assert "rejects DISCORD_TOKEN" in line


async def test_nothing_enabled(base: Config) -> None:
    """Without a platform the report names the variables and exits like `run`."""
    report = await run(base)

    assert report.exit_code == 2
    assert "SLACK_BOT_TOKEN" in report.text()
    assert "DISCORD_TOKEN" in report.text()


async def test_model_that_is_not_listed(base: Config) -> None:
    """A model outside the list is tried; a refusal names what the endpoint offers."""
    async with CompletionsSimulator(Options(models=("a", "b"))) as model:
        config = ModelConfig(name="c", base_url=model.base_url)
        answering = await run(base, model=config)
        model.fail("status", status=404)
        refusing = await run(base, model=config)

    assert "answers as c" in of(answering, "model", "ok")[0]
    assert "it offers a, b" in of(refusing, "model", "FAIL")[0]


async def test_model_key_and_endpoint_down(base: Config) -> None:
    """A rejected key and an unreachable endpoint are told apart; the fallback is looked at too."""
    async with CompletionsSimulator(Options(api_key="right-key-123456")) as model:
        config = ModelConfig(
            name="offline",
            base_url=model.base_url,
            api_key=Secret("wrong-key-123456"),
            fallbacks=(FallbackConfig(base_url="http://127.0.0.1:1/v1"),),
        )
        report = await run(base, model=config)

    key, down = of(report, "model", "FAIL")
    assert "OPENAI_API_KEY" in key
    assert "OPENAI_BASE_URL" in down
    assert "wrong-key" not in report.text()


async def test_a_broken_policy_is_told_line_by_line(base: Config, tmp_path: Path) -> None:
    """File, line and key of all that is wrong; a sound one is named by its digest."""
    file = tmp_path / "moderation.toml"
    file.write_text('mode = "shado"\n[[rules]]\nid = "a"\nregexes = ["("]\n')
    settings = ModerationConfig(remote="off", file=str(file))
    report = await run(base, moderation=settings)
    (line,) = of(report, "moderation", "FAIL")
    assert report.exit_code == 2  # as a run ends
    assert f"{file}:1" in line
    assert f"{file}:4" in line
    file.write_text('[[rules]]\nid = "a"\nterms = ["b"]\n')
    (line,) = of(await run(base, moderation=settings), "moderation", "ok")
    assert "1 local rule (policy " in line
    assert "alone: no scorer is configured" in line


async def test_moderation_is_tried_when_it_is_on(base: Config) -> None:
    """A remote scorer that fails is a failure with its consequence."""
    async with CompletionsSimulator() as model:
        config = ModelConfig(name="offline", base_url=model.base_url)
        on = ModerationConfig(remote="openai", on_error="block")
        good = await run(base, model=config, moderation=on)
        model.fail("status", status=401, on="moderations")
        bad = await run(base, model=config, moderation=on)

    assert any("scores with" in line for line in of(good, "moderation", "ok"))
    assert "every text is refused" in of(bad, "moderation", "FAIL")[0]


async def test_database_of_a_running_bot(base: Config, tmp_path: Path) -> None:
    """A database in use is read beside its owner; a missing one is not created."""
    absent = await run(base)
    assert not (tmp_path / "a.db").exists()
    async with SqliteStore(tmp_path / "a.db"):
        present = await run(base)

    assert "the first run makes it" in of(absent, "database", "ok")[0]
    assert f"at version {newest()} of {newest()}" in of(present, "database", "ok")[0]


async def test_database_that_is_newer_or_none(base: Config, tmp_path: Path) -> None:
    """A newer version and a file that is no database fail with a sentence each."""
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute(f"PRAGMA user_version = {newest() + 1}")
    connection.close()
    newer = await run(base)
    (tmp_path / "a.db").write_text("this is not a database, it is a text of some length " * 20)
    none = await run(base)

    assert "upgrade talkwarden" in of(newer, "database", "FAIL")[0]
    assert "not a database" in of(none, "database", "FAIL")[0]


async def test_settings_changed_in_chat_are_shown(base: Config, tmp_path: Path) -> None:
    """What wins over the file is in the report, with who set it."""
    async with SqliteStore(tmp_path / "a.db"):
        pass
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute(
            "INSERT INTO settings VALUES ('slack:T1:C1', 'model', '\"b\"', 'U1', 1.0)"
        )
    connection.close()
    report = await run(base)

    assert of(report, "changed in chat") == ['slack:T1:C1: model = "b" (by U1) -> ']


async def test_what_nobody_set_is_only_counted(base: Config) -> None:
    """People see what was set; every key, defaults too, is there for who asks for it."""
    report = await run(base)

    assert "log.level" not in report.text()
    assert "settings are at their defaults" in report.text()
    assert "log.level" in report.text(is_verbose=True)


async def test_report_for_programs(base: Config) -> None:
    """JSON has the configuration, each finding and the exit code."""
    decoded = json.loads((await run(base)).json())

    assert {"key": "log.level", "value": '"info"', "source": "default"} in decoded["configuration"]
    assert decoded["exit_code"] == 2
    assert {"level", "area", "what", "fix"} == set(decoded["findings"][0])


@pytest.mark.parametrize(
    ("ahead", "level"), [(0, "ok"), (29, "ok"), (60, "warn"), (-60, "warn"), (400, "FAIL")]
)
def test_clock(ahead: float, level: str) -> None:
    """The clock is compared with the Date header, in both directions."""
    reply = Reply(200, {"Date": formatdate(1000, usegmt=True)}, {})

    assert clock("slack", reply, lambda: 1000 + ahead)[0].level == level
    assert clock("slack", Reply(200, {"Date": "today"}, {})) == []


def test_a_line_says_what_to_do() -> None:
    """Level, area, fact; the remedy on a line of its own."""
    assert str(Finding("FAIL", "a", "b", "c")) == "FAIL  a: b\n      -> c"
    assert str(Finding("ok", "a", "b")) == "ok    a: b"


async def test_a_policy_model_is_tried_when_it_is_on(base: Config) -> None:
    """A model that does not answer as its family does is found before it is needed."""
    async with CompletionsSimulator(answer=lambda _: "safe") as model:
        config = ModelConfig(name="offline", base_url=model.base_url)
        on = ModerationConfig(remote="llama-guard", model="Llama-Guard-3-8B")
        good = await run(base, model=config, moderation=on)
        model.answer = lambda _: "I am a chat model."
        bad = await run(base, model=config, moderation=on)
    assert any("scores with Llama-Guard-3-8B" in line for line in of(good, "moderation", "ok"))
    assert any("and llama-guard" in line for line in of(good, "moderation", "ok"))
    assert "can't be read" in of(bad, "moderation", "FAIL")[0]


@pytest.mark.parametrize(
    ("tools", "level", "expected"),
    [
        (ToolsConfig(functions=("fakes.shopping:buy", "fakes.shopping:count"), approve=("buy",)),
         "ok", "2 tools; called freely: count; asked about first: buy"),
        (ToolsConfig(functions=("fakes.shopping:sell",)), "FAIL", "fakes.shopping:sell"),
    ],
)  # fmt: skip
async def test_tools(base: Config, tools: ToolsConfig, level: str, expected: str) -> None:
    """What the model may call is named, and so is what can't be found."""
    report = await check(msgspec.structs.replace(base, tools=tools), {})
    (finding,) = [each for each in report.findings if each.area == "tools"]
    assert finding.level == level
    assert expected in finding.what


@pytest.mark.parametrize(
    ("host", "says"), [("127.0.0.1", "can listen"), ("0.0.0.0", "without TLS")]
)
async def test_the_http_api(base: Config, host: str, says: str) -> None:
    """Where it listens, and a warning where others reach it."""
    rest = RestConfig(enabled=True, host=host, port=0)
    report = await run(msgspec.structs.replace(base, rest=rest))

    assert says in of(report, "rest")[0]


async def test_a_port_that_is_taken(base: Config) -> None:
    """It may be talkwarden itself, so it is a warning."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        rest = RestConfig(enabled=True, port=other.getsockname()[1])
        report = await run(msgspec.structs.replace(base, rest=rest))

    assert "can't be listened on" in of(report, "rest")[0]
