"""What people do with the bot's commands, buttons and forms: each makes an interaction."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any, Final

from bots.simulators.discord import commands as cmd
from bots.simulators.discord import interaction as kinds
from bots.simulators.discord import payloads
from bots.simulators.discord.commands import Commands
from bots.simulators.discord.interaction import Interaction
from bots.simulators.discord.interactions import Interactions
from bots.simulators.discord.model import DM, Channel, DiscordMessage, Json, User, walk
from bots.simulators.discord.posting import Poster

Ref = int | str
# Option types whose values are ids of something: user, channel, role, mentionable.
RESOLVED: Final = {6: "users", 7: "channels", 8: "roles"}


class Actions:
    """Publishes INTERACTION_CREATE and starts the three seconds."""

    def __init__(self, poster: Poster, interactions: Interactions, commands: Commands) -> None:
        self.poster = poster
        self.world = poster.world
        self.interactions = interactions
        self.commands = commands

    def slash(self, channel: Ref, user: Ref, name: str, options: Json) -> Interaction:
        """Run a slash command; "group sub" names a subcommand."""
        return self._command(channel, user, name, options, None)

    def autocomplete(
        self, channel: Ref, user: Ref, name: str, options: Json, focused: str
    ) -> Interaction:
        """Type in the option `focused`; its value in `options` is what stands there so far."""
        return self._command(channel, user, name, options, focused)

    def _command(
        self, channel: Ref, user: Ref, name: str, options: Json, focused: str | None
    ) -> Interaction:
        place = self.world.channel(channel)
        first, *path = name.split(" ")
        command = self.commands.find(first, cmd.CHAT_INPUT, place.guild.id if place.guild else 0)
        data: Json = {"id": command["id"], "name": first, "type": cmd.CHAT_INPUT}
        if "guild_id" in command:
            data["guild_id"] = command["guild_id"]
        resolved: Json = {}
        data["options"] = self._options(command["options"], path, options, focused, resolved)
        if resolved:
            data["resolved"] = resolved
        kind = kinds.COMMAND if focused is None else kinds.AUTOCOMPLETE
        return self._start(kind, place, self.world.user(user), data)

    def _options(
        self, known: list[Json], path: list[str], given: Json, focused: str | None, resolved: Json
    ) -> list[Json]:
        by_name = {option["name"]: option for option in known}
        if path:
            sub = by_name[path[0]]
            inner = self._options(sub.get("options") or [], path[1:], given, focused, resolved)
            return [{"name": path[0], "type": sub["type"], "options": inner}]
        missing = [n for n, o in by_name.items() if o.get("required") and n not in given]
        if missing and focused is None:
            raise LookupError(f"required options are missing: {missing}")
        return [self._option(by_name[name], given[name], focused, resolved) for name in given]

    def _option(self, known: Json, value: Any, focused: str | None, resolved: Json) -> Json:
        group = RESOLVED.get(known["type"])
        if group is not None:
            found = self._resolve(group, value)
            value = found["id"]
            resolved.setdefault(group, {})[value] = found
        option: Json = {"name": known["name"], "type": known["type"], "value": value}
        if known["name"] == focused:
            option["focused"] = True
        return option

    def _resolve(self, group: str, value: Ref) -> Json:
        if group == "users":
            return self.world.user(value).json
        if group == "channels":
            found = payloads.channel_json(self.world.channel(value))
            return found | {"permissions": str(self._bits(self.world.channel(value)))}
        roles = [role for g in self.world.guilds.values() for role in payloads.role_json(g)]
        return next(role for role in roles if str(value) in (role["id"], role["name"]))

    def context_menu(self, name: str, message_id: int, user: Ref) -> Interaction:
        """Use a message command on a message; its content goes along whatever the intents."""
        message = self.world.messages[message_id]
        guild = message.channel.guild
        command = self.commands.find(name, cmd.MESSAGE, guild.id if guild else 0)
        data: Json = {
            "id": command["id"],
            "name": name,
            "type": cmd.MESSAGE,
            "target_id": str(message_id),
            "resolved": {"messages": {str(message_id): self.poster.forms.json(message)}},
        }
        return self._start(kinds.COMMAND, message.channel, self.world.user(user), data)

    def user_menu(self, name: str, channel: Ref, target: Ref, user: Ref) -> Interaction:
        """Use a user command on a member."""
        place, about = self.world.channel(channel), self.world.user(target)
        command = self.commands.find(name, cmd.USER, place.guild.id if place.guild else 0)
        resolved: Json = {"users": {str(about.id): about.json}}
        member = self.world.member(place, about)
        if member is not None:
            bits = {"permissions": str(self.world.user_permissions(place, about))}
            plain = payloads.member_json(member, with_user=False)
            resolved["members"] = {str(about.id): plain | bits}
        data: Json = {
            "id": command["id"],
            "name": name,
            "type": cmd.USER,
            "target_id": str(about.id),
            "resolved": resolved,
        }
        return self._start(kinds.COMMAND, place, self.world.user(user), data)

    def click(
        self, message_id: int, custom_id: str, user: Ref, values: list[str] | None = None
    ) -> Interaction:
        """Press a button, or choose `values` in a select.

        Raises:
            LookupError: the message shows no such enabled component.
        """
        message = self.world.messages[message_id]
        item = next((i for i in walk(message.components) if i.get("custom_id") == custom_id), None)
        if item is None or item.get("disabled") or message.deleted:
            raise LookupError(f"message {message_id} shows no enabled component {custom_id!r}")
        data: Json = {"custom_id": custom_id, "component_type": item["type"], "id": item["id"]}
        if values is not None:
            data["values"] = values
        found = self.world.user(user)
        return self._start(kinds.COMPONENT, message.channel, found, data, message)

    def submit_modal(self, opener: Interaction, values: dict[str, Any]) -> Interaction:
        """Fill in the form that `opener` was answered with, as the same user.

        Raises:
            LookupError: it was not answered with a form, or the form has no such field.
        """
        if opener.modal is None:
            raise LookupError("the interaction was not answered with a modal")
        fields = {i["custom_id"] for i in walk(opener.modal["components"]) if "custom_id" in i}
        unknown = set(values) - fields
        if unknown:
            raise LookupError(f"the modal has no fields {sorted(unknown)}")
        rows = [_filled(row, values) for row in opener.modal["components"]]
        data: Json = {"custom_id": opener.modal["custom_id"], "components": rows}
        return self._start(kinds.MODAL, opener.channel, opener.user, data, opener.source)

    # the event

    def _start(
        self,
        kind: int,
        channel: Channel,
        user: User,
        data: Json,
        source: DiscordMessage | None = None,
    ) -> Interaction:
        token = secrets.token_urlsafe(32)
        found = Interaction(
            self.world.new_id(), token, kind, channel, user, data, time.monotonic(), source
        )
        self.interactions.add(found)

        def noted(at: float) -> None:
            found.sent = found.sent or at
            self.world.changed()

        payload = self._event(found)
        # Interactions need no intent.
        self.poster.gateway.publish("INTERACTION_CREATE", payload, channel, 0, noted)
        asyncio.get_running_loop().call_later(
            self.world.options.interaction_deadline, self.interactions.expire, found
        )
        return found

    def _bits(self, channel: Channel) -> int:
        return self.world.bot_permissions(channel)

    def _event(self, found: Interaction) -> Json:
        channel, user = found.channel, found.user
        event: Json = {
            "id": str(found.id),
            "application_id": str(self.world.bot.id),
            "type": found.kind,
            "token": found.token,
            "version": 1,
            "data": found.data,
            "channel_id": str(channel.id),
            "channel": payloads.channel_json(channel) | {"permissions": str(self._bits(channel))},
            "app_permissions": str(self._bits(channel)),
            "locale": "en-US",
            "entitlements": [],
            "attachment_size_limit": self.world.options.max_file_bytes,
            "context": 1 if channel.kind == DM else 0,
            "authorizing_integration_owners": {"0": "0"},
        }
        if found.source is not None:
            event["message"] = self.poster.forms.json(found.source)
        if channel.guild is None:
            return event | {"user": user.json}
        guild_id = str(channel.guild.id)
        event["authorizing_integration_owners"] = {"0": guild_id}
        event["guild_id"], event["guild_locale"] = guild_id, "en-US"
        event["guild"] = {"id": guild_id, "locale": "en-US", "features": []}
        member = payloads.member_json(channel.guild.members[user.id])
        bits = self.world.user_permissions(channel, user)
        event["member"] = member | {"permissions": str(bits)}
        return event


def _filled(row: Json, values: dict[str, Any]) -> Json:
    if "component" in row:
        return {"type": row["type"], "id": row.get("id", 0)} | {
            "component": _answer(row["component"], values)
        }
    if "components" in row:
        inner = [_answer(item, values) for item in row["components"]]
        return {"type": row["type"], "id": row.get("id", 0), "components": inner}
    return row


def _answer(item: Json, values: dict[str, Any]) -> Json:
    value = values.get(item["custom_id"], item.get("value", ""))
    answer: Json = {"type": item["type"], "custom_id": item["custom_id"], "id": item.get("id", 0)}
    return answer | ({"values": value} if isinstance(value, list) else {"value": value})
