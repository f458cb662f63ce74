"""How a simulated Discord behaves: its directory, its limits and its timing."""

from __future__ import annotations

import msgspec

from bots.simulators.discord import permissions as perms

DEFAULT_BOT_PERMISSIONS = (
    perms.VIEW_CHANNEL
    | perms.SEND_MESSAGES
    | perms.SEND_MESSAGES_IN_THREADS
    | perms.CREATE_PUBLIC_THREADS
    | perms.EMBED_LINKS
    | perms.ATTACH_FILES
    | perms.READ_MESSAGE_HISTORY
    | perms.ADD_REACTIONS
    | perms.USE_APPLICATION_COMMANDS
    | perms.MANAGE_MESSAGES
)
DEFAULT_MEMBER_PERMISSIONS = (
    perms.VIEW_CHANNEL
    | perms.SEND_MESSAGES
    | perms.SEND_MESSAGES_IN_THREADS
    | perms.CREATE_PUBLIC_THREADS
    | perms.ATTACH_FILES
    | perms.READ_MESSAGE_HISTORY
    | perms.ADD_REACTIONS
    | perms.USE_APPLICATION_COMMANDS
)


class RoleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A role of a guild; `permissions` is Discord's bit set."""

    name: str
    permissions: int = 0


class MemberOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A member of every guild; `roles` are names of `RoleOptions`."""

    name: str
    nick: str | None = None
    roles: tuple[str, ...] = ()
    administrator: bool = False
    bot: bool = False
    accepts_dms: bool = True


class ChannelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A channel; `kind` is text, news, voice, forum or media, `bot_denied` a permission bit set."""

    name: str
    kind: str = "text"
    bot_denied: int = 0
    require_tag: bool = False
    tags: tuple[str, ...] = ()


class GuildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A guild; `extra_text_channels` adds channels named c0, c1, ... for load."""

    name: str = "Harbour"
    channels: tuple[ChannelOptions, ...] = (
        ChannelOptions(name="general"),
        ChannelOptions(name="questions", kind="forum"),
    )
    roles: tuple[RoleOptions, ...] = ()
    extra_text_channels: int = 0


class Bucket(msgspec.Struct, frozen=True):
    """`limit` requests in each window of `seconds`."""

    limit: int
    seconds: float


# Discord documents none of these numbers and asks clients to read the headers instead:
# they are what clients observe. https://discord.com/developers/docs/topics/rate-limits
DEFAULT_BUCKETS: dict[str, Bucket] = {
    "create": Bucket(5, 5.0),
    "edit": Bucket(5, 5.0),
    "delete": Bucket(5, 1.0),
    "react": Bucket(1, 0.25),
    "typing": Bucket(5, 5.0),
    "thread": Bucket(10, 10.0),
    "followup": Bucket(5, 2.0),
    "original": Bucket(5, 5.0),
    "commands": Bucket(5, 20.0),
    "other": Bucket(50, 1.0),
}


class DiscordOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds; the privileged intents are the three toggles of the developer portal."""

    host: str = "127.0.0.1"
    port: int = 0
    token: str = "simulated.discord.token"  # noqa: S105 - opens nothing but this simulator
    application_name: str = "talkwarden"
    guilds: tuple[GuildOptions, ...] = (GuildOptions(),)
    members: tuple[MemberOptions, ...] = (
        MemberOptions(name="alice", administrator=True),
        MemberOptions(name="bob"),
    )
    bot_permissions: int = DEFAULT_BOT_PERMISSIONS
    member_permissions: int = DEFAULT_MEMBER_PERMISSIONS

    message_content: bool = True
    guild_members: bool = False
    presences: bool = False

    heartbeat_interval: float = 41.25
    resume_window: float = 180.0
    replay_buffer: int = 5000
    identify_limit: int = 1000
    gateway_sends: Bucket = Bucket(120, 60.0)

    rate_limits: bool = False
    global_limit: int = 50
    buckets: dict[str, Bucket] = {}
    latency: float = 0.0

    nonce_window: float = 180.0
    interaction_deadline: float = 3.0
    interaction_lifetime: float = 900.0
    attachment_lifetime: float = 86400.0
    max_file_bytes: int = 10 * 1024 * 1024

    echo_own_events: bool = True
    record_bodies: bool = False

    def bucket(self, name: str) -> Bucket:
        """The limit in force for the bucket called `name` in `DEFAULT_BUCKETS`."""
        return self.buckets.get(name) or DEFAULT_BUCKETS[name]
