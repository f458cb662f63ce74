"""`talkwarden check`: is everything there that a run needs, and what to do where it is not.

Nothing is posted, connected or migrated, so a talkwarden that runs beside it is not disturbed.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import msgspec

from bots.building import SQLITE, build_client, build_scorer, build_source
from bots.findings import Finding, Probe, Unreachable
from core.completions.client import CompletionsClient
from core.completions.types import ChatMessage, ChatRequest, Endpoint, RetryPolicy, Target
from core.config import Config, credentials, describe, missing_platforms
from core.config_rest import RestConfig
from core.errors import ConfigError, ModelError, StoreError, TalkwardenError
from core.moderation import Book, Unchecked
from core.secret import mask_url
from core.storage.status import Status, look_at_postgres, look_at_sqlite, newest

PATIENCE = 20.0
"""Seconds for the model's answer."""
LITTLE_SPACE = 200_000_000
"""Bytes."""
GUARDS = {"llama-guard", "shieldgemma", "gpt-oss-safeguard", "qwen3guard"}
CONSEQUENCE = {
    "allow": "no text is scored until it answers",
    "hold": "every text waits for a moderator",
    "block": "every text is refused",
}
"""Of a scorer that can't be asked, by moderation.on_error."""
DEFAULT = "default"
"""The source of what nobody set."""
SHOWN = 20
"""Settings changed in chat that are printed."""


class Report(msgspec.Struct, frozen=True):
    """Everything that was found; `configuration` holds key, value fit to be shown, and source."""

    configuration: list[tuple[str, str, str]]
    findings: list[Finding]

    @property
    def exit_code(self) -> int:
        """1 if something fails; 2 if it is the configuration, as a run would say."""
        failed = {finding.area for finding in self.findings if finding.level == "FAIL"}
        return 2 if failed & {"platforms", "moderation"} else int(bool(failed))

    def text(self, *, is_verbose: bool = False) -> str:
        """For people: what was set, or every key if verbose, and what was found."""
        rows = [row for row in self.configuration if is_verbose or row[2] != DEFAULT]
        width = max((len(key) for key, _, _ in rows), default=0)
        lines = [
            f"{key:<{width}}  {value if len(value) <= 60 else value[:57] + '...'}  ({source})"
            for key, value, source in rows
        ]
        if len(rows) < len(self.configuration):
            rest = len(self.configuration) - len(rows)
            lines.append(f"{rest} settings are at their defaults (--verbose lists them).")
        return "\n".join([*lines, "", *map(str, self.findings), "", self._summary()])

    def json(self) -> bytes:
        """For programs."""
        keys = ("key", "value", "source")
        return msgspec.json.encode(
            {
                "configuration": [dict(zip(keys, row, strict=True)) for row in self.configuration],
                "findings": self.findings,
                "exit_code": self.exit_code,
            }
        )

    def _summary(self) -> str:
        counts = dict.fromkeys(("FAIL", "warn", "ok"), 0)
        for finding in self.findings:
            counts[finding.level] += 1
        return ", ".join(f"{count} {level}" for level, count in counts.items())


async def check(config: Config, probes: Mapping[str, Probe]) -> Report:
    """Look at everything; `probes` are those of the enabled platforms, by name."""
    findings = [Finding("warn", "configuration", warning) for warning in config.warnings]
    if missing := missing_platforms(config):
        findings.append(Finding("FAIL", "platforms", missing[0], "\n         ".join(missing[1:])))
    findings += await _database(config.storage.url)
    findings += _rules(config)
    findings += await _model(config)
    findings += _rest(config.rest)
    findings += await _tools(config)
    async with aiohttp.ClientSession(trust_env=True) as session:
        for name, probe in probes.items():
            try:
                findings += await probe(session)
            except Unreachable as exc:
                fix = "is the network, a proxy or a firewall in the way?"
                findings.append(Finding("FAIL", name, f"can't be reached: {exc}", fix))
    secrets = [secret.reveal() for secret in credentials(config)]
    return Report(describe(config), [_without(secrets, finding) for finding in findings])


def _without(secrets: list[str], finding: Finding) -> Finding:
    """Endpoints like to quote the key that they reject."""
    what = finding.what
    for secret in secrets:
        if len(secret) > 5:
            what = what.replace(secret, "***")
    return Finding(finding.level, finding.area, what, finding.fix)


def _rest(rest: RestConfig) -> list[Finding]:
    """Whether the HTTP API could listen, and who could reach it."""
    if not rest.enabled:
        return []
    where = f"{rest.host}:{rest.port}"
    family = socket.AF_INET6 if ":" in rest.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((rest.host, rest.port))
        except OSError as exc:
            what = f"{where} can't be listened on now: {exc.strerror or exc}"
            return [Finding("warn", "rest", what, "fine if talkwarden runs; else see rest.port")]
    if rest.host in ("127.0.0.1", "localhost", "::1"):
        return [Finding("ok", "rest", f"the HTTP API can listen on {where}")]
    fix = "put TLS in front of it, or set rest.host = 127.0.0.1"
    return [Finding("warn", "rest", f"the HTTP API is open to others on {where}, without TLS", fix)]


async def _database(url: str) -> list[Finding]:
    try:
        if url.startswith(SQLITE):
            return _sqlite(Path(url.removeprefix(SQLITE)))
        return _versions(await look_at_postgres(url), mask_url(url))
    except StoreError as exc:
        return [Finding("FAIL", "database", str(exc), "see storage.url (DATABASE_URL)")]
    except ImportError:
        fix = "pip install 'talkwarden[postgres]'"
        return [Finding("FAIL", "database", "PostgreSQL needs an extra", fix)]


def _sqlite(path: Path) -> list[Finding]:
    folder = path.absolute().parent
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        what, fix = f"the folder {folder} can't be written", "change its owner, or DATABASE_URL"
        return [Finding("FAIL", "database", what, fix)]
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        what, fix = f"the file {path} can't be written", "change its owner, or DATABASE_URL"
        return [Finding("FAIL", "database", what, fix)]
    found = [Finding("ok", "database", f"{path} does not exist yet; the first run makes it")]
    if path.exists():
        found = _versions(look_at_sqlite(path), str(path))
    free = shutil.disk_usage(existing).free
    if free < LITTLE_SPACE:
        what = f"{free // 1_000_000} MB are free in {existing}"
        found.append(Finding("warn", "database", what, "make room: without it nothing is answered"))
    return found


def _versions(status: Status, name: str) -> list[Finding]:
    if status.version > status.known:
        what = f"{name} is at version {status.version}, this talkwarden knows {newest()}"
        return [Finding("FAIL", "database", what, "upgrade talkwarden")]
    what = f"{name} opens, at version {status.version} of {status.known}"
    if status.version < status.known:
        what += "; the next run brings it up to date"
    changed = [
        Finding(
            "ok",
            "changed in chat",
            f"{row['scope']}: {row['name']} = {str(row['value'])[:60]} (by {row['set_by']})",
        )
        for row in status.changes[:SHOWN]
    ]
    if len(status.changes) > SHOWN:
        rest = len(status.changes) - SHOWN
        changed.append(Finding("ok", "changed in chat", f"and {rest} more settings"))
    return [Finding("ok", "database", what), *changed]


def _rules(config: Config) -> list[Finding]:
    try:
        book = build_source(config.moderation).load()
    except ConfigError as exc:
        return [Finding("FAIL", "moderation", str(exc), "see [moderation] in the configuration")]
    return [Finding("ok", "moderation", _judges(config, book))]


async def _tools(config: Config) -> list[Finding]:
    """Whether all of [tools] is there; its MCP servers are started, or reached, and left."""
    if not config.tools.is_enabled:
        return []
    from bots.toolbox import toolbox  # noqa: PLC0415  # with all that tools need

    try:
        async with toolbox(config.tools) as box:
            asking = [each.name for each in box.registry if each.needs_approval]
            free = [each.name for each in box.registry if not each.needs_approval]
    except ConfigError as exc:
        return [Finding("FAIL", "tools", str(exc), "see [tools] in the configuration")]
    what = f"{len(asking) + len(free)} tools; called freely: {', '.join(free) or 'none'}"
    return [Finding("ok", "tools", f"{what}; asked about first: {', '.join(asking) or 'none'}")]


def _judges(config: Config, book: Book) -> str:
    """What moderation goes by, in words."""
    rules = len(book.rules.specs)
    what = f"{rules} local rule{'' if rules == 1 else 's'} (policy {book.digest})"
    if config.uses_remote_moderation:
        return what
    remote = config.moderation.remote
    if remote == "inline":
        return f"{what}, and the moderation that comes with each completion"
    return f"{what}, and {remote}" if remote in GUARDS else f"{what} alone: no scorer is configured"


async def _model(config: Config) -> list[Finding]:
    settings = msgspec.structs.replace(config.model, retries=0)
    async with build_client(msgspec.structs.replace(config, model=settings)) as client:
        found = [await _target(client, target) for target in client.targets]
        if config.uses_remote_moderation:
            found.append(await _moderation(client, config))
        elif config.moderation.remote in GUARDS:
            found.append(await _guard(client, config))
    return found


async def _target(client: CompletionsClient, target: Target) -> Finding:
    """The list of models costs nothing; where it does not name the model, ask for one token."""
    area, where = f"model ({target.endpoint.name})", mask_url(target.endpoint.base_url)
    try:
        models = await client.models(target.endpoint, deadline=PATIENCE)
        if any(model.id == target.model for model in models):
            return Finding("ok", area, f"{where} accepts the key and lists {target.model}")
    except ModelError as exc:
        if exc.status in {401, 403, None}:
            return _unusable(area, where, exc)
        models = ()
    request = ChatRequest((ChatMessage("user", "Say: ok"),), params={"max_tokens": 1})
    try:
        async with CompletionsClient([target], retry=RetryPolicy(attempts=1)) as alone:
            await alone.complete(request, deadline=PATIENCE)
    except ModelError as exc:
        named = ", ".join(model.id for model in models[:8])
        fix = f"it offers {named}; see model.name" if named else "see model.name"
        return _unusable(area, where, exc, fix)
    return Finding("ok", area, f"{where} answers as {target.model}")


def _unusable(area: str, where: str, exc: ModelError, fix: str = "") -> Finding:
    if exc.status in {401, 403}:
        fix = "see the key (OPENAI_API_KEY, or that of the fallback)"
    elif exc.status is None:
        fix = "is it running, and is model.base_url (OPENAI_BASE_URL) right, up to and with /v1?"
    return Finding("FAIL", area, f"{where}: {_reason(exc)}", fix)


def _reason(exc: Exception) -> str:
    """The error without the endpoint's own name, which the line begins with."""
    return str(exc).removeprefix("main: ").removeprefix("moderation: ")


async def _guard(client: CompletionsClient, config: Config) -> Finding:
    """Whether the policy model answers in the form of its family."""
    where, model = mask_url(config.moderation_url), config.moderation.model
    scorer = build_scorer(config, client)
    if scorer is None:
        raise TypeError(config.moderation.remote)
    (scored,) = await scorer.score(["hello"], deadline=PATIENCE)
    await scorer.aclose()
    if isinstance(scored, Unchecked):
        fix = "see moderation.base_url, moderation.model and the key"
        return Finding("FAIL", "moderation", f"{where}: {model}: {scored.reason}", fix)
    return Finding("ok", "moderation", f"{where} scores with {model}")


async def _moderation(client: CompletionsClient, config: Config) -> Finding:
    where, key = mask_url(config.moderation_url), config.moderation_key
    endpoint = Endpoint(
        name="moderation",
        base_url=config.moderation_url,
        api_key=key.reveal() if key else None,
    )
    try:
        await client.moderate(endpoint, config.moderation.model, ["hello"], deadline=PATIENCE)
    except TalkwardenError as exc:
        consequence = CONSEQUENCE[config.moderation.on_error]
        fix = f'as it is, {consequence}; see its API key, or set moderation.remote = "off"'
        return Finding("FAIL", "moderation", f"{where}: {_reason(exc)}", fix)
    return Finding("ok", "moderation", f"{where} scores with {config.moderation.model}")
