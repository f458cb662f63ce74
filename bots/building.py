"""From configuration to the core's parts: store, completions client, moderation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.completions.client import CompletionsClient
from core.completions.limits import Limits as RateLimits
from core.completions.limits import Rate
from core.completions.types import Endpoint, RetryPolicy, Target, Timeouts
from core.config import Config
from core.config_moderation import ModerationConfig
from core.errors import ConfigError
from core.moderation import (
    CategoryLayer,
    General,
    Moderation,
    ModerationEndpoint,
    RemoteScorer,
    RuleSpec,
    ScorerSettings,
    Source,
)
from core.moderation.guard_source import GuardSource
from core.moderation.guards import guard_for
from core.moderation.learner import Learner
from core.moderation.quota import Limits as ScorerLimits
from core.moderation.scorer import Scorer
from core.rates import Limits
from core.secret import Secret
from core.storage import Store
from core.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from core.completions.api import Api

SQLITE = "sqlite:///"
REQUESTS_PER_MINUTE = 250
"""What OpenAI grants everybody: https://platform.openai.com/docs/models/omni-moderation-latest"""


def open_store(url: str, waiting: Callable[[], None]) -> Store:
    """The store for a database URL; `waiting` is called while another process holds the file."""
    if url.startswith(SQLITE):
        return SqliteStore(Path(url.removeprefix(SQLITE)), waiting=waiting)
    try:
        from core.storage.postgres import PostgresStore  # noqa: PLC0415
    except ImportError as exc:
        raise ConfigError(
            "PostgreSQL needs an extra: pip install 'talkwarden[postgres]'", key="storage.url"
        ) from exc
    return PostgresStore(url)


def build_client(config: Config) -> CompletionsClient:
    """The client with the main target and its fallbacks in order."""
    model = config.model
    main = Endpoint(
        name="main",
        base_url=model.base_url,
        api_key=_reveal(model.api_key),
        organization=model.organization or None,
        project=model.project or None,
        azure_api_version=model.azure_api_version,
        deployments=model.azure_deployments,
    )
    targets = [Target(main, model.name, has_vision=model.vision)]
    for number, fallback in enumerate(model.fallbacks, 1):
        endpoint = main
        if fallback.base_url and fallback.base_url != model.base_url:
            endpoint = Endpoint(
                name=f"fallback-{number}",
                base_url=fallback.base_url,
                api_key=_reveal(fallback.api_key or config.key_for(fallback.base_url)),
                azure_api_version=fallback.azure_api_version,
            )
        targets.append(Target(endpoint, fallback.model or model.name, has_vision=model.vision))
    return CompletionsClient(
        targets,
        # an endpoint that never begins must leave time for another one before the turn's deadline
        timeouts=Timeouts(
            connect=model.connect_timeout, first=model.idle_timeout, idle=model.idle_timeout
        ),
        retry=RetryPolicy(attempts=model.retries + 1),
        limits=_rate_limits(model.limits),
    )


def build_api(config: Config, client: CompletionsClient) -> Api:
    """The typed calls over a client; raises ConfigError for a tokenizer that is not there."""
    # what the bots alone do not need
    from core.completions.api import Api  # noqa: PLC0415
    from core.completions.tokens import decoder  # noqa: PLC0415

    moderation = None
    if config.moderation.base_url:
        moderation = Endpoint(
            name="moderation",
            base_url=config.moderation_url,
            api_key=_reveal(config.moderation_key),
        )
    name = config.model.tokenizer
    return Api(client, decode=decoder(name) if name else None, moderation=moderation)


def _rate_limits(given: Limits) -> RateLimits:
    """What is configured for the main endpoint; the others tell by their headers."""
    spans = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0, "month": 30 * 86_400.0}
    rates = [
        Rate(seconds, given.of("requests", span), given.of("tokens", span))
        for span, seconds in spans.items()
    ]
    found = [rate for rate in rates if rate.requests or rate.tokens]
    return RateLimits({"main": found} if found else None)


def build_moderation(
    config: Config,
    client: CompletionsClient,
    source: Source | None = None,
    *,
    learner: Learner | None = None,
) -> Moderation:
    """Local rules and policy, and the scorers that are on. Raises ConfigErrors."""
    given = config.moderation
    return Moderation(
        (source or build_source(given)).load(),
        build_scorer(config, client),
        learner=learner,
        inline=given.model if given.remote == "inline" else "",
    )


def build_scorer(config: Config, client: CompletionsClient) -> Scorer | None:
    """The remote scorer, if there is one that is asked by itself."""
    given = config.moderation
    endpoint = Endpoint(
        name="moderation",
        base_url=config.moderation_url,
        api_key=_reveal(config.moderation_key),
    )
    granted = given.requests_per_minute
    if granted is None:
        granted = REQUESTS_PER_MINUTE if config.uses_remote_moderation else 0
    limits = ScorerLimits(granted, given.tokens_per_minute, given.requests_per_day)
    settings = ScorerSettings(model=given.model, deadline=given.deadline, limits=limits)
    if config.uses_remote_moderation:
        return RemoteScorer(ModerationEndpoint(client.means.send, endpoint, given.model), settings)
    if given.remote in ("", "off", "inline"):
        return None
    # the scorer itself asks again
    asked = CompletionsClient([Target(endpoint, given.model)], retry=RetryPolicy(attempts=1))
    guard = guard_for(given.remote, given.model, given.policy_text)
    settings = msgspec.structs.replace(settings, model=f"{given.remote} {given.model}", in_flight=8)
    return RemoteScorer(GuardSource(asked, guard), settings)


def build_source(given: ModerationConfig) -> Source:
    """Where rules and policy come from; `load` it to see whether they are sound."""
    scores = {
        name: CategoryLayer(flag=given.flag.get(name), block=given.block.get(name))
        for name in sorted({*given.flag, *given.block})
    }
    outermost = General(
        on_error=given.on_error, deadline=given.deadline, when=given.when, categories=scores
    )
    file = Path(given.file) if given.file else None
    return Source(outermost, _specs(given), file=file)


def _specs(given: ModerationConfig) -> list[RuleSpec]:
    specs = []
    if given.words:
        specs.append(RuleSpec("words", terms=given.words))
    if given.word_file:
        specs.append(RuleSpec("word_file", file=given.word_file))
    specs.extend(
        RuleSpec(
            rule.id,
            category=rule.category,
            action=rule.action,
            terms=rule.all_terms,
            regexes=rule.all_regexes,
            case_sensitive=rule.case_sensitive,
            file=rule.file,
            allow=rule.allow,
            strict_spelling=rule.strict_spelling,
            domains=rule.domains,
            invites=rule.invites,
            secrets=rule.secrets,
        )
        for rule in given.rules
    )
    return specs


def _reveal(secret: Secret | None) -> str | None:
    return secret.reveal() if secret is not None else None
