"""What no single key can say: contradictions, credentials in the wrong place, doubts."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.configuring import APP, BOT, SLACK, rejected, write

from core import config as configuration
from core.config import ConfigErrors, Secret, SlackConfig, load


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a talkwarden.toml of the folder that it is started from."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("environ", "key", "hint"),
    [
        ({"SLACK_BOT_TOKEN": BOT}, "slack.bot_token", "SLACK_APP_TOKEN"),
        ({"SLACK_APP_TOKEN": APP}, "slack.app_token", "SLACK_BOT_TOKEN"),
        ({**SLACK, "SLACK_APP_TOKEN": BOT}, "slack.app_token", "xapp-"),
        ({**SLACK, "SLACK_BOT_TOKEN": APP}, "slack.bot_token", "xoxb-"),
        ({**SLACK, "TALKWARDEN_SLACK__MODE": "http"}, "slack.mode", "SLACK_SIGNING_SECRET"),
        ({"TALKWARDEN_SLACK__MODE": "socket"}, "slack.mode", "SLACK_APP_TOKEN"),
        ({"TALKWARDEN_SLACK__PATH": "events"}, "slack.path", "/"),
        ({"DISCORD_TOKEN": "112233445566778899"}, "discord.token", "application id"),
        ({"DISCORD_TOKEN": "Bot abc.def.ghi"}, "discord.token", "prefix"),
        ({"DISCORD_GATEWAY_URL": "https://gateway"}, "discord.gateway_url", "wss://"),
        ({"SLACK_API_URL": "slack.test"}, "slack.api_url", "http"),
        ({"OPENAI_BASE_URL": "http://h/v1/chat/completions"}, "model.base_url", "/v1"),
        ({"OPENAI_BASE_URL": "http://[::1/v1"}, "model.base_url", "http"),
        ({"DATABASE_URL": "sqlite://file.db"}, "storage.url", "sqlite:///file"),
        ({"DATABASE_URL": "sqlite:///"}, "storage.url", "sqlite:///file"),
        ({"TALKWARDEN_MODERATION__WORD_FILE": "no.txt"}, "moderation.word_file", "no such file"),
        (
            {"TALKWARDEN_MODERATION__FLAG__sexual_minors": "0.5"},
            "moderation.flag.sexual_minors",
            "did you mean sexual/minors?",
        ),
        ({"TALKWARDEN_LOG__LEVL": "info"}, "log.levl", "did you mean level?"),
        ({"TALKWARDEN_LOG__LEVEL__X": "info"}, "log.level", "single value"),
        ({"TALKWARDEN_CHANNELS": "C1"}, "channels", "JSON"),
        ({"TALKWARDEN_MODEL__CHOICES": "[a"}, "model.choices", "JSON"),
        ({"TALKWARDEN_MODEL__FALLBACKS__X__MODEL": "a"}, "model.fallbacks", "list of tables"),
        ({"TALKWARDEN_MODEL__API_KEY_ENV": "NOT_SET"}, "model.api_key_env", "not set"),
    ],
)
def test_what_can_not_work_is_refused(environ: dict[str, str], key: str, hint: str) -> None:
    """Each contradiction is one problem, at the key to change, that says what to do."""
    found = rejected(None, **environ)
    assert list(found) == [key]
    assert hint in found[key]


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ('id = "a"', "moderation.rules.0"),
        ('id = "a"\nallow = ["x"]\ncategory = "y"', "moderation.rules.0"),
        ('id = "a"\nregex = "(?<=a)b"', "moderation.rules.0.regex"),
        ('id = "a"\nregexes = ["b", "(?<=a)b"]', "moderation.rules.0.regexes"),
        ('id = "a"\nregex = "b*"', "moderation.rules.0.regex"),
        ('id = "a"\nfile = "gone.txt"', "moderation.rules.0.file"),
        (
            'id = "a"\nterm = "x"\n[[moderation.rules]]\nid = "a"\nterm = "y"',
            "moderation.rules.1.id",
        ),
    ],
)
def test_a_rule_has_a_name_of_its_own_and_something_to_find(rule: str, key: str) -> None:
    """A rule that could never fire, or not be told from another, stops the start."""
    assert list(rejected(write(f"[[moderation.rules]]\n{rule}\n"))) == [key]


def test_a_regex_is_refused_in_words() -> None:
    """RE2's reason is shown as text."""
    found = rejected(write('[[moderation.rules]]\nid = "a"\nregex = "a(b"\n'))

    expected = "not a regular expression that can be used: missing ): a(b"
    assert expected in found["moderation.rules.0.regex"]


@pytest.mark.parametrize("key", ["file", "word_file"])
def test_a_file_that_is_not_text_is_told_with_its_key(tmp_path: Path, key: str) -> None:
    """The key that names the file stands before what is wrong with the file."""
    (tmp_path / "words").write_bytes(b"\xff\xfe w")

    found = rejected(write(f'[moderation]\n{key} = "{tmp_path / "words"}"\n'))
    assert list(found) == [f"moderation.{key}"]
    assert "the file is not UTF-8 text" in found[f"moderation.{key}"]


def test_an_unreadable_credential_does_not_look_absent() -> None:
    """No follow-up complaint about a missing token when its file is what is wrong."""
    assert list(rejected(None, SLACK_APP_TOKEN=APP, SLACK_BOT_TOKEN_FILE="no")) == [
        "slack.bot_token_file"
    ]


def test_a_password_in_the_files_database_url_is_refused() -> None:
    """The URL with its password may come from DATABASE_URL only, and is masked everywhere."""
    url = "postgresql://me:hunter22@db/x"
    path = write(f'[storage]\nurl = "{url}"\n')
    with pytest.raises(ConfigErrors) as caught:
        load(path, {})
    config = load(None, {"DATABASE_URL": url})
    assert config.storage.url == url
    assert Secret("hunter22") in configuration.credentials(config)
    for text in (str(caught.value), str(configuration.describe(config)), repr(config)):
        assert "hunter22" not in text
        assert "me:***@db" in text


def test_what_looks_wrong_but_works_is_a_warning() -> None:
    """Doubtful values are named without stopping the start."""
    config = load(
        None,
        {
            "OPENAI_BASE_URL": "http://models.test/api",
            "OPENAI_API_KEY": "k",
            "TALKWARDEN_LOG_LEVEL": "debug",
            "TALKWARDEN_PORT": "tcp://10.0.0.1:3000",
            "TALKWARDEN_ACCESS__ALLOW_USERS": "U1,ann",
            "TALKWARDEN_ACCESS__DENY_USERS": "U1",
            "TALKWARDEN_MODERATION__FLAG__violence": "0.9",
            "TALKWARDEN_MODERATION__BLOCK__violence": "0.5",
        },
    )
    topics = (
        "TALKWARDEN_LOG__LEVEL",
        "/v1",
        "unencrypted",
        "flag of violence",
        "U1",
        "ann",
    )
    assert len(config.warnings) == len(topics)
    for topic, warning in zip(topics, config.warnings, strict=True):
        assert topic in warning


def test_slack_transport_follows_from_the_credentials() -> None:
    """Socket Mode with an app token, else HTTP with a signing secret; both need the bot token."""
    token, secret = Secret(BOT), Secret("s" * 32)
    socket = SlackConfig(bot_token=token, app_token=Secret(APP), signing_secret=secret)
    http = SlackConfig(bot_token=token, signing_secret=secret)
    assert (socket.mode, socket.is_enabled) == ("socket", True)
    assert (http.mode, http.is_enabled) == ("http", True)
    assert not SlackConfig(app_token=Secret(APP)).is_enabled
    assert not SlackConfig(bot_token=token).is_enabled
    assert not SlackConfig(bot_token=token, app_token=Secret(APP), mode="http").is_enabled


def test_missing_platforms_says_which_variables_to_set_and_where_to_get_them() -> None:
    """Nothing enabled leads to sentences; one platform leads to none."""
    text = "\n".join(configuration.missing_platforms(load(None, {})))
    for word in (*SLACK, "DISCORD_TOKEN", "api.slack.com/apps", "discord.com/developers"):
        assert word in text
    assert configuration.missing_platforms(load(None, SLACK)) == []
    assert configuration.missing_platforms(load(None, {"DISCORD_TOKEN": "a.b.c"})) == []


@pytest.mark.parametrize(
    ("environ", "is_on", "url", "key"),
    [
        ({"OPENAI_API_KEY": "k"}, True, "https://api.openai.com/v1", Secret("k")),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://h/v1"}, False, "http://h/v1", "k"),
        ({"TALKWARDEN_MODERATION__REMOTE": "off"}, False, "https://api.openai.com/v1", None),
        (
            {
                "OPENAI_API_KEY": "k",
                "TALKWARDEN_MODERATION__REMOTE": "openai",
                "TALKWARDEN_MODERATION__BASE_URL": "http://scores/v1",
            },
            True,
            "http://scores/v1",
            None,
        ),
    ],
)
def test_remote_moderation_follows_the_model_but_its_key_stays_on_its_host(
    environ: dict[str, str], is_on: bool, url: str, key: Secret | str | None
) -> None:
    """On by default with OpenAI's own endpoint only; the model's key goes to no other host."""
    config = load(None, environ)
    assert config.uses_remote_moderation is is_on
    assert config.moderation_url == url
    assert config.moderation_key == (Secret(key) if isinstance(key, str) else key)
