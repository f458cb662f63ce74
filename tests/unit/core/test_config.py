"""Loading: what wins, what is refused, and that everything wrong is said at once."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.configuring import APP, BOT, SLACK, rejected, write
from hypothesis import given, settings
from hypothesis import strategies as st

from core import config as configuration
from core.config import (
    Config,
    ConfigErrors,
    ModelConfig,
    Override,
    Price,
    Problem,
    Secret,
    StorageConfig,
    load,
)
from core.config_reader import every_key
from core.config_tree import inputs, is_struct
from core.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "deploy" / "config.example.toml"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a talkwarden.toml of the folder that it is started from."""
    monkeypatch.chdir(tmp_path)


def test_nothing_given_is_a_valid_configuration() -> None:
    """Without a file and variables every key has its default and no source."""
    config = load(None, {})
    assert msgspec.structs.replace(config, warnings=()) == Config()
    assert config.sources == {}


def test_variables_win_over_the_file_and_own_names_over_conventional_ones() -> None:
    """The order is TALKWARDEN_*, conventional variables, file, default."""
    path = write('[model]\nname = "a"\nproject = "a"\norganization = "a"\n')
    config = load(
        path,
        {
            "OPENAI_PROJECT_ID": "b",
            "OPENAI_ORG_ID": "b",
            "TALKWARDEN_MODEL__ORGANIZATION": "c",
        },
    )
    assert (config.model.name, config.model.project, config.model.organization) == ("a", "b", "c")
    assert config.sources == {
        "model.name": str(path),
        "model.project": "OPENAI_PROJECT_ID",
        "model.organization": "TALKWARDEN_MODEL__ORGANIZATION",
    }


def test_the_file_is_named_or_found() -> None:
    """An explicit path wins over TALKWARDEN_CONFIG, and that over ./talkwarden.toml."""
    write('[model]\nname = "here"\n')
    named = write('[model]\nname = "named"\n', "named.toml")
    explicit = write('[model]\nname = "explicit"\n', "explicit.toml")
    variables = {"TALKWARDEN_CONFIG": str(named)}
    assert load(None, {}).model.name == "here"
    assert load(None, variables).model.name == "named"
    assert load(explicit, variables).model.name == "explicit"


@pytest.mark.parametrize("content", [b"[model", b"\xff\xfe", None])
def test_a_file_that_is_asked_for_must_be_readable_toml(content: bytes | None) -> None:
    """A broken or absent file is one problem among the others, not an end to looking."""
    path = Path("own.toml")
    if content is not None:
        path.write_bytes(content)
    assert set(rejected(path, TALKWARDEN_LOG__LEVEL="loud")) == {"configuration file", "log.level"}


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("ANSWERS__MERGE", "TRUE", "answers.merge", True),
        ("ANSWERS__MERGE", "on", "answers.merge", True),
        ("ANSWERS__BACKFILL", "7", "answers.backfill", 7),
        ("MODEL__TEMPERATURE", "1", "model.temperature", 1.0),
        ("MODEL__CHOICES", "a, b,", "model.choices", ("a", "b")),
        ("MODEL__CHOICES", '["a,b"]', "model.choices", ("a,b",)),
        ("MODEL__PERSONA", "true", "model.persona", "true"),
        ("ACCESS__ADMINS", "U1,U2", "access.admins", frozenset({"U1", "U2"})),
        ("MODEL__PARAMS", '{"a": {"b": 1}}', "model.params", {"a": {"b": 1}}),
        ("MODEL__PARAMS__stop", "END", "model.params", {"stop": "END"}),
        ("MODERATION__BLOCK__sexual/minors", "0.1", "moderation.block", {"sexual/minors": 0.1}),
        ("CHANNELS__C1__MODE", "every", "channels", {"C1": Override(mode="every")}),
        ("CHANNELS", '{"C1": {"merge": true}}', "channels", {"C1": Override(merge=True)}),
        ("USAGE__PRICES", '{"m": {"input": 2}}', "usage.prices", {"m": Price(input=2.0)}),
        ("ENGINE__GRACE", "", "engine.grace", 20.0),
    ],
)
def test_a_variable_is_read_as_its_keys_type(name: str, text: str, key: str, value: Any) -> None:
    """Lists come as commas or JSON, tables as JSON, nesting as further underscores."""
    found: Any = load(None, {f"TALKWARDEN_{name}": text})
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


def test_a_variable_reaches_into_a_list_of_tables_of_the_file() -> None:
    """A fallback's key comes from the environment while the rest of it stands in the file."""
    path = write('[[model.fallbacks]]\nmodel = "b"\n[[model.fallbacks]]\nmodel = "c"\n')
    config = load(path, {"TALKWARDEN_MODEL__FALLBACKS__1__API_KEY": "key-of-c"})
    assert [fallback.model for fallback in config.model.fallbacks] == ["b", "c"]
    assert config.model.fallbacks[0].api_key is None
    assert config.model.fallbacks[1].api_key == Secret("key-of-c")


def test_everything_wrong_is_said_at_once() -> None:
    """Types, ranges, unknown keys, misplaced secrets and contradictions come in one error."""
    path = write(
        """
        persona = "x"
        [slack]
        port = 99999
        bot_token = "xoxb-in-the-file"
        [model]
        temprature = 1
        vision = "yes"
        base_url = "ftp://host/v1"
        [[moderation.rules]]
        term = "x"
        [channels."#general"]
        merge = true
        """
    )
    found = rejected(path, TALKWARDEN_ENGINE__QUEUE="0", DATABASE_URL="mysql://h/d")
    assert set(found) == {
        "persona",
        "slack.port",
        "slack.bot_token",
        "model.temprature",
        "model.vision",
        "model.base_url",
        "moderation.rules.0.id",
        'channels."#general"',
        "engine.queue",
        "storage.url",
    }
    assert found["persona"].endswith("did you mean model.persona?")
    assert found["model.temprature"].endswith("did you mean temperature?")
    assert found["slack.port"] == "expected a whole number <= 65535"
    assert found["model.vision"] == "expected true or false, got text"
    assert "SLACK_BOT_TOKEN" in found["slack.bot_token"]
    assert "slack.bot_token_file" in found["slack.bot_token"]


def test_the_error_reads_as_lines_with_key_value_source_and_reason() -> None:
    """The error is a ConfigError whose text can be printed as it is."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"TALKWARDEN_LOG__LEVEL": "inf", "TALKWARDEN_ENGINE__QUEUE": "many"})
    assert str(caught.value) == (
        "The configuration is wrong:\n"
        '  - engine.queue = "many" (TALKWARDEN_ENGINE__QUEUE): expected a whole number\n'
        '  - log.level = "inf" (TALKWARDEN_LOG__LEVEL): expected one of debug, info, warning, '
        "error; did you mean info?"
    )


def test_a_secret_comes_from_a_file_or_a_named_variable() -> None:
    """`_file` is relative to the configuration file, `_env` names another variable."""
    folder = Path("etc")
    folder.mkdir()
    (folder / "bot").write_text(f"{BOT}\n")
    (folder / "talkwarden.toml").write_text(
        '[slack]\nbot_token_file = "bot"\napp_token_env = "ELSEWHERE"\n'
    )
    config = load(folder / "talkwarden.toml", {"ELSEWHERE": APP})
    assert config.slack.bot_token == Secret(BOT)
    assert config.slack.app_token == Secret(APP)
    assert config.sources["slack.app_token"] == "ELSEWHERE"
    assert load(None, {"DISCORD_TOKEN_FILE": "etc/bot"}).discord.token == Secret(BOT)


def test_a_variable_with_the_secret_wins_over_the_file_that_is_named() -> None:
    """The environment stays on top for secrets too, so that one can be tried out."""
    path = write('[discord]\ntoken_file = "absent"\n')
    assert load(path, {"DISCORD_TOKEN": "a.b.c"}).discord.token == Secret("a.b.c")


def test_urls_end_as_their_users_expect() -> None:
    """A slash too many or too few in an address is no error."""
    config = load(
        None,
        {
            "OPENAI_BASE_URL": "http://localhost/v1/",
            "SLACK_API_URL": "http://localhost/api",
            "DISCORD_API_URL": "http://localhost/api/v10/",
        },
    )
    assert config.model.base_url == "http://localhost/v1"
    assert config.slack.api_url == "http://localhost/api/"
    assert config.discord.api_url == "http://localhost/api/v10"


def test_describe_lists_every_key_with_its_source() -> None:
    """`check` shows each key once, what is set as much as what is default."""
    path = write("[engine]\nqueue = 3\n[channels.C1]\nmerge = true\n")
    rows = {
        key: (value, source) for key, value, source in configuration.describe(load(path, SLACK))
    }
    assert rows["engine.queue"] == ("3", str(path))
    assert rows["channels.C1.merge"] == ("true", str(path))
    assert "channels.C1.mode" not in rows
    assert rows["slack.bot_token"] == ("***aaaa", "SLACK_BOT_TOKEN")
    assert rows["model.api_key"] == ("not set", "default")
    assert rows["answers.mode"] == ('"mention"', "default")
    tables = {"model.params", "moderation.flag", "moderation.block", "usage.prices"}
    tables |= {"model.azure_deployments", "model.limits", "tools.servers"}
    plain = {key for key in every_key() if not key.endswith(("_file", "_env"))}
    assert plain - tables <= rows.keys()


def test_the_example_file_names_every_key_and_is_valid() -> None:
    """With every line uncommented the example is a configuration, and it omits no key."""
    commented = re.compile(r"^# (?=\[|\w+ = )", re.MULTILINE)
    path = write(commented.sub("", EXAMPLE.read_text("utf-8")))
    Path("words.txt").touch()
    Path("moderation.toml").touch()
    secrets = {**SLACK, "LOCAL_MODEL_KEY": "k"}
    config = load(path, secrets)
    assert load(EXAMPLE, SLACK).sources.keys() == {"slack.bot_token", "slack.app_token"}
    for key in every_key():
        if not re.search(r"(_file|_env|token|_secret|api_key)$", key):
            assert any(f"{found}.".startswith(f"{key}.") for found in config.sources), key


NOT_DEFAULT = {
    "mode",
    "temperature",
    "persona",
    "choices",
    "file",
    "word_file",
    "requests_per_minute",
}
"""Keys whose default is empty or long, so that the example shows another value."""


def test_defaults_in_the_example_are_the_defaults() -> None:
    """Where the example's line shows what holds anyway, it shows the truth."""
    text = EXAMPLE.read_text("utf-8")
    for key, value, _ in configuration.describe(Config()):
        section, _, name = key.partition(".")
        block = text.partition(f"[{section}]")[2].partition("\n[")[0]
        shown = re.search(rf"^# {name} = (.+?)(?:  +#.*)?$", block, re.MULTILINE)
        if shown and name not in NOT_DEFAULT:
            assert json.loads(shown[1]) == json.loads(value), key


def _leaf(kind: Any) -> st.SearchStrategy[Any]:
    """Valid values of a key's type."""
    text = st.text(st.characters(exclude_categories=["C"]), min_size=1)
    if typing.get_origin(kind) is typing.Annotated:
        bounds = kind.__metadata__[0]
        if kind.__origin__ is str:
            return text
        least = bounds.ge if bounds.ge is not None else bounds.gt + 1
        most = bounds.le if bounds.le is not None else least + 10_000
        if kind.__origin__ is int:
            return st.integers(least, most)
        return st.floats(least, most)
    if typing.get_origin(kind) is typing.Literal:
        return st.sampled_from([choice for choice in typing.get_args(kind) if choice])
    if typing.get_origin(kind) in {tuple, frozenset}:
        return st.lists(text, min_size=1).map(typing.get_origin(kind))
    return {bool: st.booleans(), str: text, dict[str, Any]: st.dictionaries(text, text)}[kind]


CHECKED = {"slack.mode", "slack.path", "moderation.file", "moderation.word_file", "storage.url"}
"""Keys that not every text fits."""


def _is_free(key: str, kind: Any) -> bool:
    is_plain = kind in {bool, str, dict[str, Any]} or typing.get_origin(kind) in {
        typing.Annotated,
        typing.Literal,
        frozenset,
    }
    return is_plain and key not in CHECKED and not key.endswith("_url")


LEAVES = {
    f"{section}.{name}": kind
    for section, struct in inputs(Config).items()
    if is_struct(struct)
    for name, kind in inputs(struct).items()
    if _is_free(f"{section}.{name}", kind)
}


@st.composite
def choices(draw: st.DrawFn) -> dict[str, Any]:
    """Some keys with valid values."""
    keys = draw(st.lists(st.sampled_from(sorted(LEAVES)), unique=True, max_size=8))
    return {key: draw(_leaf(LEAVES[key])) for key in keys}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | frozenset) else value


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{_toml(key)} = {_toml(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    return json.dumps(_plain(value), ensure_ascii=False)


def _variable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_plain(value))


@given(choices())
def test_the_file_and_the_environment_say_the_same(chosen: dict[str, Any]) -> None:
    """Every key can be given either way, and arrives as it was meant."""
    sections: dict[str, str] = {}
    for key, value in chosen.items():
        section, _, name = key.partition(".")
        sections[section] = sections.get(section, f"[{section}]\n") + f"{name} = {_toml(value)}\n"
    variables = {
        "TALKWARDEN_" + key.upper().replace(".", "__"): _variable(value)
        for key, value in chosen.items()
    }
    from_file = load(write("".join(sections.values()), "own.toml"), {})
    from_environment = load(write("", "empty.toml"), variables)
    for config in (from_file, from_environment):
        for key, value in chosen.items():
            section, _, name = key.partition(".")
            assert getattr(getattr(config, section), name) == value
        assert {key.split(".")[0] for key in config.sources} <= {
            key.split(".")[0] for key in chosen
        }


@given(st.text("0123456789QXZ", min_size=13, max_size=40))
def test_no_secret_is_ever_printed(value: str) -> None:
    """Whether a credential is good, bad or misplaced, nothing printable holds it."""
    path = write(f'[model]\napi_key = "{value}"\n[log]\nlevel = "{BOT}"\n', "own.toml")
    with pytest.raises(ConfigErrors) as caught:
        load(path, {"SLACK_BOT_TOKEN": value, "DISCORD_TOKEN": f"{value} {value}"})
    assert value not in str(caught.value)
    assert BOT not in str(caught.value)
    config = Config(model=ModelConfig(api_key=Secret(value)), storage=StorageConfig())
    assert value not in repr(config) + str(configuration.describe(config))


any_text = st.text(st.characters())
anything = any_text | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
).map(json.dumps)
"""What someone may write into a variable, JSON of any kind included."""

nested = st.sampled_from(["CHANNELS__C1__MODE", "MODEL__FALLBACKS__0__API_KEY", "USAGE__PRICES__m"])
names = nested | st.sampled_from([*every_key(), *inputs(Config)]).map(
    lambda key: key.upper().replace(".", "__")
)


@settings(max_examples=50)
@given(st.dictionaries(names, anything, max_size=4))
def test_no_value_breaks_the_loading_itself(variables: dict[str, str]) -> None:
    """Whatever a variable holds, loading gives a configuration or a readable list of problems."""
    environ = {f"TALKWARDEN_{name}": text for name, text in variables.items()}
    refused: tuple[Problem, ...] = ()
    config = Config()
    try:
        config = load(None, environ)
    except ConfigErrors as errors:
        refused = errors.problems
    assert all(str(problem) for problem in refused)
    assert configuration.describe(config)
