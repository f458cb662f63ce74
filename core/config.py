"""The configuration: read, checked as a whole, and frozen."""

from __future__ import annotations

from core.config_schema import (
    AccessConfig,
    AnswersConfig,
    AttachmentsConfig,
    Config,
    DiscordConfig,
    EngineConfig,
    FallbackConfig,
    LogConfig,
    ModelConfig,
    ModerationConfig,
    Override,
    Price,
    RuleConfig,
    SlackConfig,
    StorageConfig,
    UsageConfig,
)
from core.secret import Secret

__all__ = [
    "AccessConfig",
    "AnswersConfig",
    "AttachmentsConfig",
    "Config",
    "DiscordConfig",
    "EngineConfig",
    "FallbackConfig",
    "LogConfig",
    "ModelConfig",
    "ModerationConfig",
    "Override",
    "Price",
    "RuleConfig",
    "Secret",
    "SlackConfig",
    "StorageConfig",
    "UsageConfig",
]
