"""Who and where: the users and conversations of the simulated workspace."""

from __future__ import annotations

import re
from typing import Any

from bots.simulators.slack.errors import ApiError
from bots.simulators.slack.options import Kind, SlackChannel, SlackOptions, SlackUser

_USER_ID = re.compile(r"[UW][A-Z0-9]+\Z")
_KINDS: dict[str, Kind] = {"C": "channel", "G": "group", "D": "im"}


class Directory:
    """Users and channels by id; the driving side makes unknown ones, the Web API may not."""

    def __init__(self, options: SlackOptions) -> None:
        self._options = options
        bot = SlackUser(id=options.bot_user_id, name=options.bot_name, is_bot=True)
        self.users: dict[str, SlackUser] = {}
        self.channels: dict[str, SlackChannel] = {}
        for user in (bot, *options.users):
            self.add_user(user)
        for channel in options.channels:
            self.add_channel(channel)

    def add_user(self, user: SlackUser) -> None:
        """Add a member or replace the one with that id."""
        self.users[user.id] = user

    def add_channel(self, channel: SlackChannel) -> SlackChannel:
        """Add a conversation or replace the one with that id."""
        channel.kind = channel.kind or _KINDS.get(channel.id[:1], "channel")
        channel.name = channel.name or channel.id.lower()
        self.channels[channel.id] = channel
        return channel

    def user(self, user_id: str) -> SlackUser:
        """Find a member, making an ordinary one for an unknown id of Slack's form."""
        if user_id not in self.users:
            if not _USER_ID.match(user_id):
                raise ApiError("user_not_found")
            self.add_user(SlackUser(id=user_id))
        return self.users[user_id]

    def visit(self, channel_id: str, user_id: str) -> SlackChannel:
        """Find or make the conversation a member acts in, and make them a member of it."""
        channel = self.channels.get(channel_id)
        if channel is None:
            channel = self.add_channel(SlackChannel(id=channel_id, user=user_id))
        if user_id and user_id not in channel.members:
            channel.members.append(user_id)
        return channel

    def find(self, channel_id: object) -> SlackChannel:
        """Find a conversation the bot may name; a user id stands for the DM with them."""
        channel = self.channels.get(str(channel_id))
        if channel is not None:
            return channel
        if str(channel_id) in self.users:
            return self.open_im(str(channel_id))
        raise ApiError("channel_not_found")

    def open_im(self, user_id: str) -> SlackChannel:
        """Find or make the DM of the bot and a member."""
        user = self.user(user_id)
        for channel in self.channels.values():
            if channel.kind == "im" and channel.user == user.id:
                return channel
        return self.visit("D" + user.id[1:], user.id)

    def team_of(self, user_id: str) -> str:
        """Return the home team of a member; other than ours for external people."""
        user = self.users.get(user_id)
        return (user.team_id if user else "") or self._options.team_id

    def describe_user(self, user: SlackUser) -> dict[str, Any]:
        """Return the user object of users.info."""
        name = user.name or user.id.lower()
        real_name = user.real_name or user.display_name or name
        team = user.team_id or self._options.team_id
        body = {
            "id": user.id,
            "team_id": team,
            "name": name,
            "real_name": real_name,
            "deleted": user.deleted,
            "is_bot": user.is_bot,
            "is_admin": user.is_admin,
            "is_owner": user.is_owner,
            "is_primary_owner": False,
            "is_restricted": user.is_restricted,
            "is_ultra_restricted": False,
            "is_app_user": False,
            "tz": "Etc/UTC",
            "tz_offset": 0,
            "updated": 0,
            "profile": {
                "real_name": real_name,
                "display_name": user.display_name,
                "team": team,
            },
        }
        if team != self._options.team_id:
            body["is_stranger"] = True
        return body

    def describe_channel(self, channel: SlackChannel) -> dict[str, Any]:
        """Return the channel object of conversations.info."""
        is_im, is_mpim = channel.kind == "im", channel.kind == "mpim"
        body: dict[str, Any] = {
            "id": channel.id,
            "is_channel": channel.kind == "channel",
            "is_group": channel.kind == "group",
            "is_im": is_im,
            "is_mpim": is_mpim,
            "is_private": channel.kind != "channel",
            "is_archived": channel.is_archived,
            "is_shared": channel.is_ext_shared,
            "is_ext_shared": channel.is_ext_shared,
            "is_org_shared": False,
            "context_team_id": self._options.team_id,
            "num_members": len(channel.members) + channel.bot_is_member,
            "created": 0,
        }
        if is_im:
            body["user"] = channel.user
        else:
            body |= {
                "name": channel.name,
                "name_normalized": channel.name,
                "is_member": channel.bot_is_member,
                "topic": {"value": "", "creator": "", "last_set": 0},
                "purpose": {"value": "", "creator": "", "last_set": 0},
            }
        return body
