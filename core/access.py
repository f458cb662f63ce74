"""Who may ask, and who may configure: decided from the event alone, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import AccessConfig
from core.messages import Author, Place
from core.settings import Resolved, scope_key


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer; a silent one is not told to anybody."""

    sentence: str
    is_silent: bool = False


_NOT_FOR_BOTS = Refusal("I don't answer other bots.", is_silent=True)
_DISABLED = Refusal("I am switched off in this channel.", is_silent=True)
_DENIED = Refusal("I'm not allowed to answer you.")
_NOT_LISTED = Refusal("I only answer certain people, and you are not among them.")
_NO_CHANNEL = Refusal("I'm not allowed to answer in this channel.")
_NO_WORKSPACE = Refusal("I'm not allowed to answer in this workspace.")
_NO_DIRECT = Refusal("I don't answer direct messages. Please ask me in a channel.")
_NO_EXTERNAL = Refusal("I only answer members of the organisation that runs me.")


def may_ask(
    access: AccessConfig, resolved: Resolved, place: Place, author: Author
) -> Refusal | None:
    """None: go ahead. What is silent is decided first, so that two bots never talk."""
    if author.is_self or (author.is_bot and author.id not in access.bots):
        return _NOT_FOR_BOTS
    if not resolved.is_enabled:
        return _DISABLED
    return _refused_place(access, place) or _refused_author(access, author)


def may_configure(access: AccessConfig, author: Author) -> bool:
    """The platform's managers of a place, but for guests from outside, and listed admins."""
    if author.is_bot or author.is_self:
        return False
    return author.id in access.admins or (author.may_configure and not author.is_external)


def _refused_place(access: AccessConfig, place: Place) -> Refusal | None:
    workspace = {place.workspace, scope_key(place, "workspace")}
    channel = {place.channel, scope_key(place, "channel")}
    if workspace & access.deny_workspaces:
        return _NO_WORKSPACE
    if channel & access.deny_channels:
        return _NO_CHANNEL
    if access.allow_workspaces and not workspace & access.allow_workspaces:
        return _NO_WORKSPACE
    if place.is_private:
        # `direct_messages` decides: nobody could list everyone's direct channel
        return None if access.direct_messages else _NO_DIRECT
    if access.allow_channels and not channel & access.allow_channels:
        return _NO_CHANNEL
    return None


def _refused_author(access: AccessConfig, author: Author) -> Refusal | None:
    roles = set(author.roles)
    if author.id in access.deny_users or roles & access.deny_roles:
        return _DENIED
    if author.is_external and not access.external_users:
        return _NO_EXTERNAL
    is_open = not (access.allow_users or access.allow_roles)
    if is_open or author.is_bot or author.id in access.allow_users or roles & access.allow_roles:
        return None
    return _NOT_LISTED
