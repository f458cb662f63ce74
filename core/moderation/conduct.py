"""What can't be seen in one text: floods, repetitions, mass mentions, raids, traps.

Everything is remembered in memory only, inside bounds, and forgotten by time; the time is given.
"""

from __future__ import annotations

import re
from collections import deque

import msgspec

from core.messages import Edited, Joined, Message, Place
from core.moderation.conduct_settings import ConductSettings, Decision, Response
from core.moderation.domains import has_link
from core.moderation.layers import Do
from core.moderation.raids import Group, Likenesses, Where, Words, is_alike, skeleton

MAX_PEOPLE = 10_000
"""Active people of a workspace; of more, a tenth that was quiet for longest is forgotten."""
MAX_POSTS = 5
"""Messages of one person that are remembered with what they say, where no rule wants more."""
MAX_RAIDS = 16
"""Raids of one workspace whose texts are known while it is alarmed."""
MAX_KNOWN = 200_000
"""People of a workspace who are known to have written before."""
MAX_WORKSPACES = 1_000

_MENTION = re.compile(r"(?<![\w@.])@(?:&|!)?([\w.-]{2,40})")
_EVERYONE = frozenset(("everyone", "here", "channel"))
_SAYS_SOMETHING = 12  # characters: a greeting may be the same everywhere


class ConductHit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One kind of misconduct that a message, or a join, completes."""

    rule: str
    """conduct.flood and the like."""
    category: str
    action: Decision = "refuse"
    do: tuple[Do, ...] = ()
    timeout: int = 0
    points: float = 0.0
    reason: str = ""
    """For moderators; holds nothing of the text."""
    touched: tuple[Where, ...] = ()
    """Channel and message of all others that belong to it, to be cleaned up with it."""
    accounts: tuple[str, ...] = ()
    """Of a wave of joins: who joined."""


class _Post:
    """A message while it is judged."""

    __slots__ = ("event", "hits", "now", "text", "words", "written")

    def __init__(self, event: Message | Edited, text: str, now: float, *, is_read: bool) -> None:
        self.event = event
        self.text = text
        self.now = now
        self.written = skeleton(text) if is_read else b""
        self.words: Words = frozenset(self.written.split())
        self.hits: list[ConductHit] = []

    @property
    def key(self) -> int:
        """What it says, as far as a repetition is recognised by it; 0: nothing."""
        files = self.event.attachments
        if files:
            return hash((self.words, *sorted(each.size for each in files)))
        return hash(self.words) if self.words else hash(self.text.strip())


class _Person:
    __slots__ = ("mentions", "posts")

    def __init__(self) -> None:
        self.posts: dict[str, tuple[float, int, str]] = {}
        """Time, key and channel by the message's id, the oldest first."""
        self.mentions: list[tuple[float, int, str]] | None = None

    @property
    def seen(self) -> float:
        """When the newest of them was written or changed."""
        return next((at for at, _, _ in reversed(self.posts.values())), 0.0)

    def like(self, key: int, since: float) -> list[Where]:
        """The remembered messages that say this."""
        return [
            (channel, name)
            for name, (at, each, channel) in self.posts.items()
            if each == key and at >= since
        ]


class _Workspace:
    __slots__ = (
        "alarmed_until", "is_told", "joins", "known", "likenesses", "people", "raids", "swept",
    )  # fmt: skip

    def __init__(self, settings: ConductSettings, now: float) -> None:
        self.people: dict[str, _Person] = {}
        self.known: set[int] = set()
        self.is_told = False
        self.joins: deque[tuple[float, str]] = deque(maxlen=settings.joins.accounts)
        self.likenesses = Likenesses(settings.raid.likeness, settings.raid.seconds)
        self.raids: deque[tuple[Words, Group]] = deque(maxlen=MAX_RAIDS)
        self.alarmed_until = 0.0
        self.swept = now

    def is_new(self, author: str) -> bool:
        """Has never written here; nobody is new until the past was told."""
        return self.is_told and hash(author) not in self.known

    def raid_like(self, words: Words, likeness: float) -> Group | None:
        """The raid that brought the alarm, if these are its words."""
        return next(
            (group for known, group in self.raids if is_alike(words, known, likeness)), None
        )

    def alarm(self, now: float, until: float) -> None:
        if now >= self.alarmed_until:
            self.raids.clear()
        self.alarmed_until = max(self.alarmed_until, until)


class Conduct:
    """Watches the traffic of all workspaces; one for all policies of a process."""

    def __init__(self, settings: ConductSettings) -> None:
        self._settings = settings
        self._workspaces: dict[tuple[str, str], _Workspace] = {}
        self._is_on = settings.is_on
        self._counts = settings.only_counts
        self._many, self._within = settings.flood.messages, settings.flood.seconds
        flood = self._many - 1 if settings.flood.on else 0
        self._kept = max(MAX_POSTS, settings.duplicate.messages - 1, flood)
        self._reads = settings.duplicate.on or settings.spread.on or settings.raid.on
        self._horizon = max(
            settings.flood.seconds,
            settings.duplicate.seconds,
            settings.spread.seconds,
            settings.mentions.seconds,
        )

    def is_alarmed(self, place: Place, now: float) -> bool:
        """Whether the workspace had a raid or a wave of joins shortly before."""
        found = self._workspaces.get((place.platform, place.workspace))
        return found is not None and now < found.alarmed_until

    def remember(self, place: Place, authors: list[str]) -> None:
        """Who has written in the workspace before; until this is told, nobody counts as new."""
        workspace = self._workspace(place, 0.0)
        workspace.known.update(map(hash, authors[-MAX_KNOWN:]))
        workspace.is_told = True

    def observe(self, event: Message | Edited, text: str, now: float) -> list[ConductHit]:
        """What this message completes; the same message again changes nothing.

        `text` is all that members read in it.
        """
        if not self._is_on:
            return []
        settings, place = self._settings, event.place
        key = place.platform, place.workspace
        workspace = self._workspaces.get(key) or self._workspace(place, now)
        author = event.author.id
        person = workspace.people.get(author) or self._meet(workspace, author, now)
        if self._counts:
            return self._counted(event.id, place.channel, now, person)
        post = _Post(event, text, now, is_read=self._reads)
        if settings.flood.on and event.id not in person.posts:
            self._flood(post, person)
        self._repetitions(post, person)
        if settings.mentions.on and "@" in text:
            self._mentions(post, person)
        if settings.raid.on and not place.is_private:
            self._raid(post, workspace)
        if settings.honeypot.on and place.channel in settings.honeypot.channels:
            reason = "a message in a channel that is a trap"
            post.hits.append(_hit("honeypot", settings.honeypot, reason))
        if workspace.is_told and not place.is_private:
            self._first(post, workspace)
        return post.hits

    def observe_join(self, joined: Joined, now: float) -> list[ConductHit]:
        """What this join completes: a wave."""
        settings = self._settings.joins
        if not settings.on:
            return []
        workspace = self._workspace(joined.place, now)
        if all(account != joined.author.id for _, account in workspace.joins):
            workspace.joins.append((now, joined.author.id))
        recent = [who for at, who in workspace.joins if at >= now - settings.seconds]
        if len(recent) < settings.accounts:
            return []
        workspace.alarm(now, now + settings.lasts)
        workspace.joins.clear()
        reason = f"{len(recent)} accounts joined within {settings.seconds:g} s"
        return [_hit("joins", settings, reason, accounts=tuple(recent))]

    def _counted(self, name: str, channel: str, now: float, person: _Person) -> list[ConductHit]:
        """As all of `observe` is where only the number of messages matters."""
        posts = person.posts
        if name in posts:
            return []
        hits = []
        if len(posts) >= self._many - 1:
            first = next(iter(posts))
            if posts[first][0] >= now - self._within:
                hits = [self._flooded(person)]
            del posts[first]
        posts[name] = now, 0, channel
        return hits

    def _flood(self, post: _Post, person: _Person) -> None:
        before = [at for at, _, _ in person.posts.values()][1 - self._many :]
        if len(before) == self._many - 1 and before[0] >= post.now - self._within:
            post.hits.append(self._flooded(person))

    def _flooded(self, person: _Person) -> ConductHit:
        reason = f"{self._many} messages within {self._within:g} s"
        touched = tuple((channel, name) for name, (_, _, channel) in person.posts.items())
        return _hit("flood", self._settings.flood, reason, touched=touched)

    def _repetitions(self, post: _Post, person: _Person) -> None:
        event, posts = post.event, person.posts
        key = post.key if self._reads else 0
        posts.pop(event.id, None)
        if key:
            for each in posts.values():
                if each[1] == key:
                    self._repeated(post, person, key)
                    break
        posts[event.id] = (post.now, key, event.place.channel)
        if len(posts) > self._kept:
            del posts[next(iter(posts))]

    def _repeated(self, post: _Post, person: _Person, key: int) -> None:
        duplicate, spread = self._settings.duplicate, self._settings.spread
        channel = post.event.place.channel
        if duplicate.on:
            same = person.like(key, post.now - duplicate.seconds)
            here = tuple(each for each in same if each[0] == channel)
            if len(here) + 1 >= duplicate.messages:
                reason = f"the same {len(here) + 1} times within {duplicate.seconds:g} s"
                post.hits.append(_hit("duplicate", duplicate, reason, touched=here))
        if spread.on and (post.event.attachments or len(post.text) >= _SAYS_SOMETHING):
            same = person.like(key, post.now - spread.seconds)
            channels = {channel, *(each for each, _ in same)}
            if len(channels) >= spread.channels:
                reason = f"the same in {len(channels)} channels within {spread.seconds:g} s"
                post.hits.append(_hit("spread", spread, reason, touched=tuple(same)))

    def _mentions(self, post: _Post, person: _Person) -> None:
        settings = self._settings.mentions
        names = set(_MENTION.findall(post.text))
        if not names:
            return
        counted = len(names)
        if settings.everyone and not _EVERYONE.isdisjoint(names):
            counted = max(counted, settings.people)
        since = post.now - settings.seconds
        recent = [
            each for each in person.mentions or () if each[0] >= since and each[2] != post.event.id
        ]
        person.mentions = [*recent[-7:], (post.now, counted, post.event.id)]
        total = sum(count for _, count, _ in person.mentions)
        if total >= settings.people:
            reason = f"{total} mentions within {settings.seconds:g} s"
            post.hits.append(_hit("mentions", settings, reason))

    def _raid(self, post: _Post, workspace: _Workspace) -> None:
        settings, event, now = self._settings.raid, post.event, post.now
        author, where = event.author.id, (event.place.channel, event.id)
        is_alarmed = now < workspace.alarmed_until
        if len(post.words) >= settings.words:
            group = workspace.raid_like(post.words, settings.likeness) if is_alarmed else None
            is_known = group is not None
            group = group or workspace.likenesses.add(author, where, now, post.written, post.words)
            if group is not None:
                count = group.add(author, where, now, now - settings.seconds)
                if is_known or count >= settings.accounts:
                    workspace.alarm(now, now + settings.lasts)
                    if not is_known:
                        workspace.raids.append((post.words, group))
                    reason = f"{count} accounts wrote nearly the same"
                    post.hits.append(_hit("raid", settings, reason, touched=group.take(where)))
                    return
        if is_alarmed and workspace.is_new(author) and has_link(post.text):
            post.hits.append(_hit("raid", settings, "a link from somebody new during a raid"))

    def _first(self, post: _Post, workspace: _Workspace) -> None:
        settings, author = self._settings.first_link, post.event.author.id
        if not workspace.is_new(author):
            return
        if settings.on and has_link(post.text):
            post.hits.append(_hit("first_link", settings, "a first message with a link"))
        is_calm = post.now >= workspace.alarmed_until
        if is_calm and len(workspace.known) < MAX_KNOWN:
            workspace.known.add(hash(author))

    def _workspace(self, place: Place, now: float) -> _Workspace:
        key = (place.platform, place.workspace)
        found = self._workspaces.get(key)
        if found is None:
            if len(self._workspaces) >= MAX_WORKSPACES:
                del self._workspaces[next(iter(self._workspaces))]
            found = self._workspaces[key] = _Workspace(self._settings, now)
        return found

    def _meet(self, workspace: _Workspace, author: str, now: float) -> _Person:
        people, limit = workspace.people, now - self._horizon
        quiet: list[str] = []
        if now - workspace.swept > 60 + self._horizon:
            quiet = [who for who, each in people.items() if each.seen < limit]
            workspace.swept = now
        elif len(people) >= MAX_PEOPLE:
            quiet = sorted(people, key=lambda who: people[who].seen)[: MAX_PEOPLE // 10]
        for who in quiet:
            del people[who]
        person = people[author] = _Person()
        return person


def _hit(
    name: str,
    settings: Response,
    reason: str,
    *,
    touched: tuple[Where, ...] = (),
    accounts: tuple[str, ...] = (),
) -> ConductHit:
    timeout = settings.timeout if "timeout" in settings.do else 0
    return ConductHit(
        f"conduct.{name}",
        name,
        settings.action,
        settings.do,
        timeout,
        settings.points,
        reason,
        touched,
        accounts,
    )
