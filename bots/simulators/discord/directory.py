"""Builds guilds, roles, members and channels from the options."""

from __future__ import annotations

from bots.simulators.discord import permissions as perms
from bots.simulators.discord.model import KINDS, Channel, Guild, Member, Role
from bots.simulators.discord.options import ChannelOptions, DiscordOptions, GuildOptions
from bots.simulators.discord.world import World


def build(options: DiscordOptions) -> World:
    """A world with everything the options name; ids are the same in every run."""
    world = World(options)
    for member in options.members:
        world.add_user(member.name, bot=member.bot, accepts_dms=member.accepts_dms)
    for guild_options in options.guilds:
        _add_guild(world, guild_options)
    return world


def _add_guild(world: World, guild_options: GuildOptions) -> None:
    guild_id = world.fixed_id()
    everyone = Role(guild_id, "@everyone", world.options.member_permissions, 0)
    owner = world.add_user(f"owner-of-{guild_options.name.lower()}")
    guild = Guild(guild_id, guild_options.name, owner.id, everyone)
    guild.roles[guild_id] = everyone
    world.guilds[guild_id] = guild
    guild.members[owner.id] = Member(owner, [])
    _add_members(world, guild, guild_options)
    load = tuple(
        ChannelOptions(name=f"c{number}") for number in range(guild_options.extra_text_channels)
    )
    for position, channel_options in enumerate(guild_options.channels + load):
        _add_channel(world, guild, channel_options, position)


def _add_role(world: World, guild: Guild, name: str, permissions: int) -> Role:
    role = Role(world.fixed_id(), name, permissions, len(guild.roles))
    guild.roles[role.id] = role
    return role


def _add_members(world: World, guild: Guild, guild_options: GuildOptions) -> None:
    options = world.options
    named = {
        each.name: _add_role(world, guild, each.name, each.permissions)
        for each in guild_options.roles
    }
    own_role = _add_role(world, guild, world.bot.name, options.bot_permissions)
    guild.members[world.bot.id] = Member(world.bot, [own_role])
    # @everyone would hand the bot what `bot_permissions` leaves out.
    admins = _add_role(world, guild, "administrators", perms.ADMINISTRATOR)
    for member in options.members:
        roles = [named[name] for name in member.roles]
        if member.administrator:
            roles.append(admins)
        user = world.user(member.name)
        guild.members[user.id] = Member(user, roles, member.nick)


def _add_channel(world: World, guild: Guild, channel: ChannelOptions, position: int) -> None:
    made = Channel(
        world.fixed_id(), KINDS[channel.kind], channel.name, guild=guild, position=position
    )
    made.require_tag = channel.require_tag
    made.tags = [
        {
            "id": str(world.fixed_id()),
            "name": tag,
            "moderated": False,
            "emoji_id": None,
            "emoji_name": None,
        }
        for tag in channel.tags
    ]
    missing = guild.everyone.permissions & ~world.options.bot_permissions
    made.denied[world.bot.id] = channel.bot_denied | missing
    guild.channels[made.id] = world.channels[made.id] = made
