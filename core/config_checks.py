"""What a type can't say: tokens in the wrong place, keys that contradict each other.

Everything here is a question to a finished `Config`; a `Problem` stops the start, a warning is a
sentence that `check` and the log show.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from core.config_moderation import CATEGORIES
from core.config_schema import OPENAI_HOST, Config
from core.config_tree import Problem, dotted
from core.config_values import not_among, spelled
from core.secret import mask_url

Found: TypeAlias = Iterator[tuple[str, str, str]]
"""Key, value fit to be shown, and what is wrong with it."""

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ID = re.compile(r"[A-Z0-9]+")
_FINDS = ("term", "terms", "regex", "regexes", "file", "domains", "invites", "secrets")


def problems(config: Config, broken: set[str], file: str) -> list[Problem]:
    """All contradictions, except between keys of which one could not be read (`broken`)."""
    sound = (
        check for check, keys in _CHECKS if not any(key.startswith(keys) for key in broken if keys)
    )
    found = [item for check in sound for item in check(config)]
    if config.sources.get("storage.url") == file and _split(config.storage.url).password:
        message = "a password does not belong in this file; put the URL into DATABASE_URL"
        found.append(("storage.url", spelled(mask_url(config.storage.url)), message))
    return [
        Problem(key, value, source_at(config.sources, key), message)
        for key, value, message in found
    ]


def source_at(sources: Mapping[str, str], key: str) -> str:
    """Where a key, a table around it, or the first key inside it came from."""
    around = (key[:end] for end in range(len(key), 0, -1) if key[end : end + 1] in {"", "."})
    inside = (name for name in sources if name.startswith(f"{key}."))
    return next((sources[name] for name in (*around, *inside) if name in sources), "default")


def warnings(config: Config) -> tuple[str, ...]:
    """Sentences about values that work but are probably not meant."""
    return tuple(sentence for check in _DOUBTS for sentence in check(config))


def _slack_forms(config: Config) -> Found:
    slack = config.slack
    if slack.bot_token and not slack.bot_token.reveal().startswith("xoxb-"):
        yield "slack.bot_token", str(slack.bot_token), "a bot token starts with xoxb-"
    if slack.app_token and not slack.app_token.reveal().startswith("xapp-"):
        yield "slack.app_token", str(slack.app_token), "an app-level token starts with xapp-"
    if not slack.path.startswith("/"):
        yield "slack.path", spelled(slack.path), "a path starts with /"


def _slack_transport(config: Config) -> Found:
    slack = config.slack
    if slack.mode == "socket" and not slack.app_token:
        yield "slack.mode", '"socket"', "Socket Mode needs an app-level token: set SLACK_APP_TOKEN"
    if slack.mode == "http" and not slack.signing_secret:
        yield "slack.mode", '"http"', "HTTP mode needs SLACK_SIGNING_SECRET"
    if slack.bot_token and not slack.mode:
        message = "set SLACK_APP_TOKEN for Socket Mode too, or SLACK_SIGNING_SECRET for HTTP mode"
        yield "slack.bot_token", str(slack.bot_token), message
    if slack.app_token and not slack.bot_token:
        yield "slack.app_token", str(slack.app_token), "set SLACK_BOT_TOKEN too"


def _discord(config: Config) -> Found:
    token = config.discord.token
    if token and token.reveal().isdecimal():
        message = "this is an application id; the token is on the portal's page Bot"
        yield "discord.token", str(token), message


def _urls(config: Config) -> Found:
    model, moderation = config.model, config.moderation
    endpoints = {"model.base_url": model.base_url, "moderation.base_url": moderation.base_url}
    for index, fallback in enumerate(model.fallbacks):
        endpoints[f"model.fallbacks.{index}.base_url"] = fallback.base_url
    for key, url in endpoints.items():
        if url and (message := _not_http(url) or _not_base(url)):
            yield key, spelled(mask_url(url)), message
    apis = {"slack.api_url": config.slack.api_url, "discord.api_url": config.discord.api_url}
    for key, url in apis.items():
        if message := _not_http(url):
            yield key, spelled(mask_url(url)), message
    gateway = config.discord.gateway_url
    if gateway and _split(gateway).scheme not in {"ws", "wss"}:
        yield "discord.gateway_url", spelled(gateway), "expected a ws:// or wss:// URL"


def _storage(config: Config) -> Found:
    url = config.storage.url
    parts = _split(url)
    if parts.scheme in {"postgresql", "postgres"}:
        return
    if parts.scheme != "sqlite":
        message = "expected sqlite:///file, sqlite:////folder/file or postgresql://..."
        yield "storage.url", spelled(mask_url(url)), message
    elif parts.netloc or len(parts.path) < 2:
        message = "write sqlite:///file for a file here, or sqlite:////folder/file"
        yield "storage.url", spelled(url), message


def _rules(config: Config) -> Found:
    seen: set[str] = set()
    for index, rule in enumerate(config.moderation.rules):
        key = f"moderation.rules.{index}"
        if rule.id in seen:
            yield f"{key}.id", spelled(rule.id), "another rule has this id"
        seen.add(rule.id)
        if not any(getattr(rule, name) for name in _FINDS):
            yield key, spelled(rule.id), f"it looks for nothing: give it {', '.join(_FINDS)}"
        for name, written in (("regex", (rule.regex,)), ("regexes", rule.regexes)):
            for regex in written:
                if regex and (message := _not_regex(regex)):
                    yield f"{key}.{name}", spelled(regex), message
        yield from _unreadable(f"{key}.file", rule.file)
    yield from _unreadable("moderation.file", config.moderation.file)
    yield from _unreadable("moderation.word_file", config.moderation.word_file)


def _unreadable(key: str, name: str) -> Found:
    if not name:
        return
    if not os.path.isfile(name):  # Path.is_file raises on a name too long for a file
        yield key, spelled(name), "there is no such file"
        return
    try:
        Path(name).read_text("utf-8")
    except OSError as error:
        yield key, spelled(name), f"the file can't be read: {error.strerror}"
    except UnicodeDecodeError:
        yield key, spelled(name), "the file is not UTF-8 text"


def _thresholds(config: Config) -> Found:
    moderation = config.moderation
    if not moderation.model.startswith(("omni-moderation", "text-moderation")):
        return
    for name, limits in (("flag", moderation.flag), ("block", moderation.block)):
        for category in limits:
            if category not in CATEGORIES:
                message = "no score has this name; " + not_among(category, CATEGORIES)
                yield dotted(("moderation", name, category)), str(limits[category]), message


def _channels(config: Config) -> Found:
    for section, table in (("workspaces", config.workspaces), ("channels", config.channels)):
        for name in table:
            if not _ID.fullmatch(name):
                message = "expected an id such as C024BE91L or 81384788765712384, not a name"
                yield dotted((section, name)), "", message


_TRANSPORT = ("slack.bot_token", "slack.app_token", "slack.signing_secret", "slack.mode")
_CHECKS: tuple[tuple[Callable[[Config], Found], tuple[str, ...]], ...] = (
    (_slack_forms, ()),
    (_slack_transport, _TRANSPORT),
    (_discord, ()),
    (_urls, ()),
    (_storage, ()),
    (_rules, ("moderation.rules",)),
    (_thresholds, ()),
    (_channels, ()),
)
"""Each check, and the beginnings of keys without which it would find what is not there."""


def _model_doubts(config: Config) -> Iterator[str]:
    model = config.model
    parts = urlsplit(model.base_url)
    if not parts.path.endswith("/v1"):
        yield (
            f"model.base_url is {mask_url(model.base_url)}, which does not end in /v1 as the base "
            "URL of most endpoints does."
        )
    if model.is_openai and not model.api_key:
        yield "There is no API key for OpenAI's endpoint: set OPENAI_API_KEY, or OPENAI_BASE_URL."
    if model.api_key and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        yield f"The model's API key travels unencrypted to {parts.hostname}."


def _moderation_doubts(config: Config) -> Iterator[str]:
    moderation = config.moderation
    is_guard = moderation.remote not in {"", "openai", "inline", "off"}
    if is_guard and moderation.model.startswith(("omni-moderation", "text-moderation")):
        yield f"moderation.model is no {moderation.remote}: name the one that the endpoint offers."
    host = urlsplit(config.moderation_url).hostname
    has_no_key = host == OPENAI_HOST and not config.moderation_key
    if config.uses_remote_moderation and moderation.base_url and has_no_key:
        yield "The remote scorer has no API key: set TALKWARDEN_MODERATION__API_KEY."
    for category in sorted(moderation.flag.keys() & moderation.block.keys()):
        if moderation.flag[category] >= moderation.block[category]:
            yield f"moderation.flag of {category} never matters: block is not above it."


def _access_doubts(config: Config) -> Iterator[str]:
    access = config.access
    pairs = {
        "users": (access.allow_users, access.deny_users),
        "roles": (access.allow_roles, access.deny_roles),
        "channels": (access.allow_channels, access.deny_channels),
        "workspaces": (access.allow_workspaces, access.deny_workspaces),
    }
    for name, (allowed, denied) in pairs.items():
        if both := sorted(allowed & denied):
            yield f"access.allow_{name} and deny_{name} both hold {', '.join(both)}: deny wins."
        if odd := sorted(item for item in allowed | denied if not _ID.fullmatch(item)):
            yield f"access.allow_{name} or deny_{name} hold {', '.join(odd)}: ids are expected."


_DOUBTS: tuple[Callable[[Config], Iterator[str]], ...] = (
    _model_doubts,
    _moderation_doubts,
    _access_doubts,
)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _not_http(url: str) -> str:
    parts = _split(url)
    is_good = parts.scheme in {"http", "https"} and parts.hostname
    return "" if is_good else "expected an http:// or https:// URL"


def _not_base(url: str) -> str:
    path = urlsplit(url).path
    is_whole = path.endswith(("/completions", "/moderations", "/responses"))
    return "give the URL up to /v1 only" if is_whole else ""


def _not_regex(regex: str) -> str:
    # 6 ms that only an operator with such rules pays
    from core.moderation.patterns import PatternError, compile_pattern  # noqa: PLC0415

    try:
        compile_pattern(regex)
    except PatternError as error:
        return f"not a regular expression that can be used: {error}"
    return ""
