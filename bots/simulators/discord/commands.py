"""REST: application commands, global and of a guild.

https://discord.com/developers/docs/interactions/application-commands
"""

from __future__ import annotations

import re
from typing import Any, Final

from bots.simulators.discord.errors import ApiError, bad_length, invalid_form, too_long
from bots.simulators.discord.model import Json
from bots.simulators.discord.routing import Incoming, Reply, Route, Router
from bots.simulators.discord.world import World

CHAT_INPUT, USER, MESSAGE = 1, 2, 3
MOST: Final = {CHAT_INPUT: 100, USER: 15, MESSAGE: 15}
TOTAL_CHARACTERS = 8000
CHOICES = OPTIONS = 25
_NAME = re.compile(r"^[-_'\w]{1,32}$")
GLOBAL = "/applications/{application_id}/commands"
OF_GUILD = "/applications/{application_id}/guilds/{guild_id}/commands"


class Commands:
    """What the bot registered; `syncs` counts bulk overwrites."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.syncs = 0
        # By guild id (0: global), then by (type, name).
        self.registered: dict[int, dict[tuple[int, str], Json]] = {}

    def all(self) -> list[Json]:
        """Every command of every scope."""
        return [each for scope in self.registered.values() for each in scope.values()]

    def find(self, name: str, kind: int, guild_id: int) -> Json:
        """The command a user would pick; a guild's own goes first.

        Raises:
            LookupError: nobody registered it.
        """
        for scope in (guild_id, 0):
            found = self.registered.get(scope, {}).get((kind, name))
            if found is not None:
                return found
        raise LookupError(f"no command {name!r} of type {kind} is registered")

    def register(self, router: Router) -> None:
        """Add the routes."""
        for base in (GLOBAL, OF_GUILD):
            one = f"{base}/{{command_id}}"
            for method, template, handler in (
                ("PUT", base, self.overwrite),
                ("GET", base, self.listing),
                ("POST", base, self.create),
                ("GET", one, self.get),
                ("PATCH", one, self.edit),
                ("DELETE", one, self.delete),
            ):
                router.add(Route(method, template, handler, "commands", "guild_id"))

    def _scope(self, incoming: Incoming) -> dict[tuple[int, str], Json]:
        guild_id = incoming.id("guild_id") if "guild_id" in incoming.params else 0
        if incoming.id("application_id") != self.world.bot.id:
            raise ApiError(50001)
        if guild_id and guild_id not in self.world.guilds:
            raise ApiError(50001)
        return self.registered.setdefault(guild_id, {})

    def _made(self, incoming: Incoming, body: Json, known: Json | None) -> Json:
        defaults: Json = {
            "type": CHAT_INPUT,
            "description": "",
            "options": [],
            "default_member_permissions": None,
            "dm_permission": True,
            "nsfw": False,
            "integration_types": [0],
            "contexts": None,
        }
        made = defaults | (known or {}) | body
        made["id"] = known["id"] if known else str(self.world.new_id())
        made["application_id"] = str(self.world.bot.id)
        made["version"] = str(self.world.new_id())
        if "guild_id" in incoming.params:
            made["guild_id"] = incoming.params["guild_id"]
        return made

    def overwrite(self, incoming: Incoming) -> Any:
        """Bulk Overwrite Commands: known names keep their ids."""
        scope = self._scope(incoming)
        bodies = incoming.body if isinstance(incoming.body, list) else []
        keys = [_key(body) for body in bodies]
        _check_counts(keys)
        for index, body in enumerate(bodies):
            _check(body, f"{index}.")
        made = {
            key: self._made(incoming, body, scope.get(key))
            for key, body in zip(keys, bodies, strict=True)
        }
        scope.clear()
        scope.update(made)
        self.syncs += 1
        self.world.changed()
        return list(scope.values())

    def listing(self, incoming: Incoming) -> Any:
        """Get Commands of the scope."""
        return list(self._scope(incoming).values())

    def create(self, incoming: Incoming) -> Any:
        """Create Command; one of the same name and type is replaced."""
        scope, body = self._scope(incoming), incoming.json
        _check(body, "")
        key = _key(body)
        known = scope.get(key)
        _check_counts([*(other for other in scope if other != key), key])
        scope[key] = self._made(incoming, body, known)
        self.world.changed()
        return Reply(200 if known else 201, scope[key])

    def _one(self, incoming: Incoming) -> tuple[dict[tuple[int, str], Json], Json]:
        scope = self._scope(incoming)
        wanted = incoming.params["command_id"]
        found = next((each for each in scope.values() if each["id"] == wanted), None)
        if found is None:
            raise ApiError(10063)
        return scope, found

    def get(self, incoming: Incoming) -> Any:
        """Get Command."""
        return self._one(incoming)[1]

    def edit(self, incoming: Incoming) -> Any:
        """Edit Command."""
        scope, known = self._one(incoming)
        made = self._made(incoming, incoming.json, known)
        _check(made, "")
        del scope[_key(known)]
        scope[_key(made)] = made
        self.world.changed()
        return made

    def delete(self, incoming: Incoming) -> None:
        """Delete Command."""
        scope, known = self._one(incoming)
        del scope[_key(known)]
        self.world.changed()


def _key(body: Json) -> tuple[int, str]:
    return int(body.get("type") or CHAT_INPUT), str(body.get("name"))


def _check_counts(keys: list[tuple[int, str]]) -> None:
    if len(set(keys)) != len(keys):
        raise invalid_form(
            "name",
            "APPLICATION_COMMANDS_DUPLICATE_NAME",
            "Application command names must be unique",
        )
    for kind, most in MOST.items():
        if sum(1 for key in keys if key[0] == kind) > most:
            raise ApiError(30032)


def _check(body: Json, path: str) -> None:
    kind, name = _key(body)
    if kind == CHAT_INPUT:
        if not _NAME.match(name) or name != name.lower():
            raise invalid_form(
                f"{path}name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid"
            )
        if not 1 <= len(body.get("description") or "") <= 100:
            raise bad_length(f"{path}description", 1, 100)
    elif not 1 <= len(name) <= 32:
        raise bad_length(f"{path}name", 1, 32)
    if _check_options(body.get("options") or [], path) + len(name) > TOTAL_CHARACTERS:
        raise too_long(f"{path}options", TOTAL_CHARACTERS)


def _check_options(options: list[Json], path: str) -> int:
    if len(options) > OPTIONS:
        raise too_long(f"{path}options", OPTIONS)
    total = 0
    for index, option in enumerate(options):
        here = f"{path}options.{index}."
        name, description = option.get("name") or "", option.get("description") or ""
        if not 1 <= len(name) <= 32:
            raise bad_length(f"{here}name", 1, 32)
        if not 1 <= len(description) <= 100:
            raise bad_length(f"{here}description", 1, 100)
        choices = option.get("choices") or []
        if len(choices) > CHOICES:
            raise too_long(f"{here}choices", CHOICES)
        total += len(name) + len(description)
        total += sum(len(each["name"]) + len(str(each["value"])) for each in choices)
        total += _check_options(option.get("options") or [], here)
    return total
