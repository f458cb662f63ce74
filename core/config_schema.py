"""The shape of the configuration: frozen structs with a default, a range and a unit per key.

A struct is a section of `talkwarden.toml`, a field is a key in it. Nothing here reads a file or
the environment: `core.config` fills these structs and reports what does not fit them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from core.config_moderation import ModerationConfig
from core.config_rest import RestConfig
from core.config_tools import ToolsConfig
from core.ranges import Count, Port, Positive, Seconds
from core.rates import Limits
from core.secret import Secret, mask_url, same_origin

Money = Annotated[float, msgspec.Meta(ge=0)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]

AnswerMode = Literal["mention", "every", "thread"]
"""On a mention only; every message of a channel; on a mention, in a new thread per question."""

OPENAI_HOST = "api.openai.com"

PERSONA = """\
You are a helpful assistant who takes part in a Slack or Discord conversation. Several people may \
be talking: each of their messages begins with its author's name and a colon. Do not begin your \
own messages with a name. Answer the last message and use the earlier ones as context. Be brief \
and plain, as people are in chat; write Markdown, with code in fenced blocks that name their \
language. Say so when you do not know something."""


class SlackConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Slack; tokens come from https://api.slack.com/apps."""

    bot_token: Secret | None = None
    """The bot's OAuth token, xoxb-... (SLACK_BOT_TOKEN)."""
    app_token: Secret | None = None
    """The app-level token for Socket Mode, xapp-... (SLACK_APP_TOKEN)."""
    signing_secret: Secret | None = None
    """Signs the requests of HTTP mode (SLACK_SIGNING_SECRET)."""
    admin_token: Secret | None = None
    """The user token, xoxp-..., of somebody who may delete others' messages (SLACK_ADMIN_TOKEN)."""
    mode: Literal["", "socket", "http"] = ""
    """The transport; empty: socket with an app token, else http with a signing secret."""
    api_url: str = "https://slack.com/api/"
    """The Web API's address (SLACK_API_URL)."""
    host: str = "127.0.0.1"
    """The address that HTTP mode listens on."""
    port: Port = 3000
    """The port that HTTP mode listens on; 0: any free one."""
    path: str = "/slack/events"
    """The path of HTTP mode's request URL."""
    connections: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2
    """Socket Mode connections held at once; Slack allows ten."""
    agent: bool = True
    """Use the agent surface (status, suggested prompts, Stop) where the workspace has it."""
    stream: bool = True
    """Use Slack's native text streams within their budget."""
    limits: bool = True
    """Keep to Slack's published rate limits before Slack has to enforce them."""

    def __post_init__(self) -> None:
        mode = self.mode or ("socket" if self.app_token else "http" if self.signing_secret else "")
        msgspec.structs.force_setattr(self, "mode", mode)
        msgspec.structs.force_setattr(self, "api_url", self.api_url.rstrip("/") + "/")

    @property
    def is_enabled(self) -> bool:
        """All that the chosen transport needs is there."""
        key = self.app_token if self.mode == "socket" else self.signing_secret
        return bool(self.bot_token and key and self.mode)


class DiscordConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Discord; the token comes from https://discord.com/developers/applications."""

    token: Secret | None = None
    """The bot's token (DISCORD_TOKEN)."""
    api_url: str = "https://discord.com/api/v10"
    """The REST API's address (DISCORD_API_URL)."""
    gateway_url: str = ""
    """The gateway's address (DISCORD_GATEWAY_URL); empty: asked from the REST API."""
    profile: Literal["assistant", "moderator"] = "assistant"
    """assistant: no privileged intent; moderator: reads every message (MESSAGE_CONTENT)."""
    members: bool = False
    """Judge who joins and what members call themselves (needs the Server Members Intent)."""
    sync_commands: bool = True
    """Register the application commands when they have changed."""
    limits: bool = True
    """Pace calls by the rate-limit headers."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "api_url", self.api_url.rstrip("/"))

    @property
    def is_enabled(self) -> bool:
        """The token is there."""
        return self.token is not None


class FallbackConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Another model or endpoint, tried in order when those before it fail."""

    model: str = ""
    """The model's name; empty: the main one."""
    base_url: str = ""
    """The endpoint, up to /v1; empty: the main one."""
    api_key: Secret | None = None
    """Its key; unset: the main one, if the endpoint is the same host."""
    azure_api_version: str = ""
    """See model.azure_api_version; for an endpoint of its own."""


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The chat completions endpoint and what is asked of it."""

    name: Annotated[str, msgspec.Meta(min_length=1)] = "gpt-4o-mini"
    """The model's name, as the endpoint knows it."""
    base_url: str = "https://api.openai.com/v1"
    """The endpoint, up to and with /v1 (OPENAI_BASE_URL)."""
    api_key: Secret | None = None
    """The endpoint's key (OPENAI_API_KEY); many local servers need none."""
    organization: str = ""
    """OpenAI's organisation id (OPENAI_ORG_ID)."""
    project: str = ""
    """OpenAI's project id (OPENAI_PROJECT_ID)."""
    azure_api_version: str = ""
    """The endpoint is Azure's, of this version ("2024-10-21"); base_url is then its host."""
    azure_deployments: dict[str, str] = {}
    """Azure: the deployment of a model, where it is not called like the model."""
    limits: Limits = Limits()
    """What the endpoint allows; calls wait for it, in turn of their conversations."""
    context_tokens: Annotated[int, msgspec.Meta(ge=256)] = 16_000
    """Tokens of one request: persona and history, the answer not included."""
    reply_tokens: Count = 0
    """Most tokens of one answer; 0: the endpoint's default."""
    temperature: Temperature | None = None
    """Sampling temperature; unset: the endpoint's default."""
    params: dict[str, Any] = {}
    """Further request parameters, passed through as they are."""
    vision: bool = True
    """The model reads images; off: it gets a note in their place."""
    facts: bool = True
    """Tell the model the date and who is speaking, as the last message of a request."""
    persona: str = PERSONA
    """The system prompt."""
    tokenizer: str = ""
    """A tokenizer's name (extra `tokens`); empty: counts are estimated and calibrated."""
    choices: tuple[str, ...] = ()
    """Models that people may choose in chat, besides the main one."""
    show_reasoning: bool = False
    """Show the text that a reasoning model writes before its answer."""
    connect_timeout: Seconds = 5.0
    """Seconds to wait for a connection."""
    idle_timeout: Seconds = 60.0
    """Seconds without a byte after which a request counts as dead."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    """Further attempts per endpoint before the first delta."""
    fallbacks: tuple[FallbackConfig, ...] = ()
    """Where to turn when the main endpoint fails, in order."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "base_url", self.base_url.rstrip("/"))

    @property
    def is_openai(self) -> bool:
        """The endpoint is OpenAI's own, not a compatible one."""
        return urlsplit(self.base_url).hostname == OPENAI_HOST


class AnswersConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When and where the assistant answers."""

    mode: AnswerMode = "mention"
    """mention, every (message of a channel), or thread (one per question)."""
    whole_channel: bool = False
    """Treat a channel as one conversation instead of one per thread."""
    merge: bool = False
    """Answer the waiting messages of one author with one turn."""
    backfill: Annotated[int, msgspec.Meta(ge=0, le=200)] = 30
    """Messages read when first called into the middle of a thread; 0: none."""
    max_age: Seconds = 21_600.0
    """Seconds after which a question that could not be taken up is told to have been missed."""


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """What differs in one workspace or channel; unset: as everywhere."""

    enabled: bool | None = None
    """Answer here at all."""
    mode: AnswerMode | None = None
    """See answers.mode."""
    whole_channel: bool | None = None
    """See answers.whole_channel."""
    merge: bool | None = None
    """See answers.merge."""
    persona: str | None = None
    """See model.persona."""
    model: str | None = None
    """See model.name."""
    temperature: Temperature | None = None
    """See model.temperature."""
    params: dict[str, Any] | None = None
    """See model.params; replaces them."""


class AccessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who may ask, by platform ids; a deny wins, an empty allow list allows all."""

    allow_users: frozenset[str] = frozenset()
    """Only these people may ask."""
    deny_users: frozenset[str] = frozenset()
    """These people may not ask."""
    allow_roles: frozenset[str] = frozenset()
    """Only people with one of these roles or user groups may ask."""
    deny_roles: frozenset[str] = frozenset()
    """People with one of these roles or user groups may not ask."""
    allow_channels: frozenset[str] = frozenset()
    """Answer in these channels only."""
    deny_channels: frozenset[str] = frozenset()
    """Do not answer in these channels."""
    allow_workspaces: frozenset[str] = frozenset()
    """Answer in these Slack workspaces and Discord servers only."""
    deny_workspaces: frozenset[str] = frozenset()
    """Do not answer in these Slack workspaces and Discord servers."""
    direct_messages: bool = True
    """Answer direct messages."""
    external_users: bool = False
    """Answer people of other organisations in shared channels."""
    bots: frozenset[str] = frozenset()
    """Other bots that may ask."""
    admins: frozenset[str] = frozenset()
    """People who may configure the assistant, whatever the platform says."""


class StorageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where conversations live, and how long."""

    url: str = "sqlite:///talkwarden.db"
    """sqlite:///relative, sqlite:////absolute, or postgresql://... (DATABASE_URL)."""
    retention_days: Count = 0
    """Days after which messages are erased; 0: never."""

    def __repr__(self) -> str:
        return f"StorageConfig(url={mask_url(self.url)!r}, retention_days={self.retention_days})"


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How much happens at once."""

    concurrency: Positive = 1000
    """Turns at once."""
    per_workspace: Positive = 500
    """Turns at once in one workspace."""
    queue: Positive = 20
    """Messages that may wait in one conversation; the next one is told so."""
    turn_deadline: Seconds = 120.0
    """Seconds that a turn may take, retries included."""
    grace: Annotated[float, msgspec.Meta(ge=0)] = 20.0
    """Seconds that running turns get to finish at a stop."""


class AttachmentsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What of a message's files reaches the model."""

    max_bytes: Count = 5_000_000
    """Bytes of one file."""
    max_files: Count = 5
    """Files of one message; 0: attachments are ignored."""
    max_text: Count = 40_000
    """Characters of one file's text."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A model's price per million tokens."""

    input: Money = 0.0
    """Per million tokens of the request."""
    cached_input: Money | None = None
    """Per million tokens of the request that were cached; unset: as `input`."""
    output: Money = 0.0
    """Per million tokens of the answer."""


class UsageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What tokens cost, and how many a day brings."""

    prices: dict[str, Price] = {}
    """Per model name."""
    currency: str = "USD"
    """The currency of `prices`."""
    daily_tokens_per_user: Count = 0
    """Tokens per person and day; 0: no limit."""
    daily_tokens_per_workspace: Count = 0
    """Tokens per workspace and day; 0: no limit."""


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is written; debug shows texts of messages."""
    format: Literal["", "console", "json"] = ""
    """Empty: console on a terminal, else one JSON object per line."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an operator decides."""

    slack: SlackConfig = SlackConfig()
    discord: DiscordConfig = DiscordConfig()
    model: ModelConfig = ModelConfig()
    answers: AnswersConfig = AnswersConfig()
    access: AccessConfig = AccessConfig()
    moderation: ModerationConfig = ModerationConfig()
    storage: StorageConfig = StorageConfig()
    engine: EngineConfig = EngineConfig()
    attachments: AttachmentsConfig = AttachmentsConfig()
    usage: UsageConfig = UsageConfig()
    rest: RestConfig = RestConfig()
    tools: ToolsConfig = ToolsConfig()
    log: LogConfig = LogConfig()
    workspaces: dict[str, Override] = {}
    """Per Slack workspace or Discord server id."""
    channels: dict[str, Override] = {}
    """Per channel id; wins over its workspace."""
    sources: dict[str, str] = {}
    """Dotted key -> where its value came from, of every key that is not a default."""
    warnings: tuple[str, ...] = ()
    """Sentences about values that are allowed but look wrong."""

    @property
    def uses_remote_moderation(self) -> bool:
        """Texts go to the remote scorer: asked for, or the default with OpenAI's own endpoint."""
        remote = self.moderation.remote
        return remote == "openai" or (not remote and self.model.is_openai)

    @property
    def is_judging(self) -> bool:
        """There are rules, or a scorer."""
        given = self.moderation
        has_rules = bool(given.file or given.words or given.word_file or given.rules)
        return has_rules or self.uses_remote_moderation

    @property
    def moderation_url(self) -> str:
        """The remote scorer's endpoint, up to /v1."""
        return self.moderation.base_url or self.model.base_url

    @property
    def moderation_key(self) -> Secret | None:
        """The remote scorer's key; the model's never goes to another host."""
        return self.moderation.api_key or self.key_for(self.moderation_url)

    def key_for(self, url: str) -> Secret | None:
        """The model's key, if this URL is on the host that it belongs to."""
        return self.model.api_key if same_origin(url, self.model.base_url) else None
