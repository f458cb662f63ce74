"""Domains and invitations: links that rules want out, whatever way they are written.

A rule's domain takes everything below it. With `*` a rule wants all links but those to the
domains that it allows; there a bare address counts only if it ends like one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from core.moderation.hosts import Endings, Host, hosts, labels_of, spelled_out
from core.moderation.invites import HOSTS, Invite, invitation, is_invite_host, spelled
from core.moderation.specs import RuleSpec
from core.moderation.top_level import AMBIGUOUS, COUNTRIES, GENERIC
from core.moderation.unescaping import Reading
from core.moderation.verdicts import Found

MAX_FINDS = 50
"""Finds of one rule in one text; the last one then spans the rest of the text."""
MAX_HOSTS = 600
"""Hosts in one text that end like addresses, after which only those that rules name are
looked for."""

_WRITTEN = re.compile(r"(?:[^\s/]+?://)?(?:\*\.)?([^\s/:@]+)(?::\d+)?(/\S*)?")
_LONE = re.compile(r"//([A-Za-z0-9-]++)(?![.\w@-])")
_DOTTED = re.compile(r"\.[^\s.]|\s\.\s")
_BEFORE = frozenset("/\\@")
"""What may stand directly before an address and make one of whatever follows."""
_NO_HOST: Host = (0, 0, "")
_DOT_LIKE = "。．｡․"


def _endings(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.rpartition(".")[2] for name in names)


_INVITING = _endings(HOSTS)


class _Allowed(NamedTuple):
    """What a rule lets through: whole domains, and single addresses (`discord.gg/ours`)."""

    domains: frozenset[str]
    paths: frozenset[str]

    def covers(self, labels: Sequence[str]) -> bool:
        return bool(self.domains) and any(
            ".".join(labels[at:]) in self.domains for at in range(len(labels))
        )


class _Wanted(NamedTuple):
    """What is still looked for in a text."""

    links: bool
    invites: bool
    names: bool


class DomainSet:
    """The domains of all rules, the links that some rules want out, and the invitations."""

    __slots__ = (
        "_allowed", "_endings", "_endings_named", "_endings_of", "_everything",
        "_invites", "_looks", "_named_rules", "_owners", "_sizes",
    )  # fmt: skip

    def __init__(self, owned: Sequence[tuple[int, RuleSpec]]) -> None:
        self._owners: dict[str, tuple[int, ...]] = {}
        self._looks: dict[str, tuple[int, ...]] = {}
        self._allowed = {number: _allowed(spec) for number, spec in owned}
        self._everything = frozenset(number for number, spec in owned if "*" in spec.domains)
        self._invites = frozenset(number for number, spec in owned if spec.invites)
        for number, spec in owned:
            for written in spec.domains:
                if written != "*":
                    name = parse_domain(written)
                    self._owners[name] = (*self._owners.get(name, ()), number)
                    looks = Reading(name).looks().text
                    self._looks[looks] = (*self._looks.get(looks, ()), number)
        self._endings_named = _endings((*self._owners, *self._looks))
        self._endings = self._endings_named | (_INVITING if self._invites else frozenset())
        if self._everything:
            self._endings |= GENERIC | (COUNTRIES - AMBIGUOUS)
        self._endings_of: dict[_Wanted, Endings] = {}
        self._named_rules = frozenset(chain.from_iterable(self._owners.values()))
        self._sizes = sorted({name.count(".") + 1 for name in self._owners})

    def find(self, text: str) -> Iterator[Found]:
        """Start, end and rule of every link: the host, for an invitation with what follows it."""
        if not _may_hold_link(text):
            return
        seen: set[Found] = set()
        counts: Counter[int] = Counter()
        done: set[int] = set()
        for reading, start, end, rule in self._all(text, done):
            if rule in done:
                continue
            found = (*reading.span(start, end), rule)
            if found not in seen:
                seen.add(found)
                counts[rule] += 1
                if counts[rule] == MAX_FINDS:
                    found = (found[0], len(text), rule)
                    done.add(rule)
                yield found

    def _all(self, text: str, done: set[int]) -> Iterator[tuple[Reading, int, int, int]]:
        plain = Reading(text).plain()
        yield from self._scan(plain, self._owners, done)
        if self._everything and "//" in plain.text:
            yield from self._lone(plain)
        doubtful = plain.doubtful()
        looks = doubtful.looks()
        if looks is not doubtful:
            yield from self._scan(looks, self._looks, done, only_named=True)
        for reading in (plain,) if looks is plain else (plain, looks):
            for invite in () if done.issuperset(self._invites) else spelled(reading.text):
                yield from self._invited(reading, invite)
                if done.issuperset(self._invites):
                    break
        closed = doubtful.closed() if self._sizes else None
        if closed is not None:
            yield from self._inside(closed)

    def _scan(
        self,
        reading: Reading,
        owners: dict[str, tuple[int, ...]],
        done: set[int],
        *,
        only_named: bool = False,
    ) -> Iterator[tuple[Reading, int, int, int]]:
        text, at, count = reading.text, 0, 0
        everything = frozenset[int]() if only_named else self._everything
        source: Iterator[Host] = iter(())
        wanted: _Wanted | None = None
        while len(done) < len(self._allowed):
            now = self._wanted(everything, done, is_crowd=count > MAX_HOSTS)
            if now != wanted:
                wanted, source = now, self._source(now, text, at)
            start, at, written = next(source, _NO_HOST)
            if not at:
                return
            ending = spelled_out(written)
            if ending not in self._endings and not self._may_lead(text, start, at, ending):
                continue
            count += 1
            labels = labels_of(text[start:at])
            for rule in self._named(labels, owners):
                yield reading, start, at, rule
            invite = invitation(text, start, at, labels) if self._invites else None
            if invite is not None:
                yield from self._invited(reading, invite)
            if everything and _is_link(text, start, at, labels):
                for rule in everything:
                    if not self._lets(rule, labels, invite):
                        yield reading, start, at, rule

    def _may_lead(self, text: str, start: int, end: int, ending: str) -> bool:
        """Whether `_is_link` may say so of a name that does not end like one: the quick no."""
        if not self._everything:
            return False
        if text[start - 1 : start] in _BEFORE:
            return True
        return ending in AMBIGUOUS and (text[end : end + 1] == "/" or text[start] in "wW")

    def _wanted(self, everything: frozenset[int], done: set[int], *, is_crowd: bool) -> _Wanted:
        return _Wanted(
            links=not (is_crowd or everything <= done),
            invites=not (is_crowd or self._invites <= done),
            names=not self._named_rules <= done,
        )

    def _source(self, wanted: _Wanted, text: str, at: int) -> Iterator[Host]:
        if wanted.links:
            return hosts(text, at)
        endings = self._endings_of.get(wanted)
        if endings is None:
            words = self._endings_named if wanted.names else frozenset()
            endings = Endings(words | _INVITING if wanted.invites else words)
            self._endings_of[wanted] = endings
        return endings.hosts(text, at)

    def _lone(self, reading: Reading) -> Iterator[tuple[Reading, int, int, int]]:
        """Hosts without a dot: http://3232235777."""
        for match in _LONE.finditer(reading.text):
            for rule in self._everything:
                if not self._allowed[rule].covers((match[1].lower(),)):
                    yield reading, *match.span(1), rule

    def _named(self, labels: Sequence[str], owners: dict[str, tuple[int, ...]]) -> Iterator[int]:
        for count in self._sizes:
            if count <= len(labels):
                for rule in owners.get(".".join(labels[-count:]), ()):
                    if not self._allowed[rule].covers(labels):
                        yield rule

    def _inside(self, reading: Reading) -> Iterator[tuple[Reading, int, int, int]]:
        """Between spaces nobody knows where an address begins: any labels may be one."""
        for begin, end, _ in hosts(reading.text):
            labels, starts = labels_of(reading.text[begin:end]), [begin]
            for label in labels:
                starts.append(starts[-1] + len(label) + 1)
            for count in self._sizes:
                for at in range(len(labels) - count + 1):
                    for rule in self._owners.get(".".join(labels[at : at + count]), ()):
                        if not self._allowed[rule].covers(labels[: at + count]):
                            yield reading, starts[at], starts[at + count] - 1, rule

    def _invited(self, reading: Reading, invite: Invite) -> Iterator[tuple[Reading, int, int, int]]:
        for rule in self._invites:
            if not self._lets(rule, invite.host.split("."), invite):
                yield reading, invite.start, invite.end, rule

    def _lets(self, rule: int, labels: Sequence[str], invite: Invite | None) -> bool:
        allowed = self._allowed[rule]
        if allowed.covers(labels):
            return True
        return invite is not None and not allowed.paths.isdisjoint((invite.address, invite.code))


def for_rules(owned: Sequence[tuple[int, RuleSpec]]) -> DomainSet | None:
    """The finder for the rules that have domains or want invitations; None if there are none.

    Raises ValueError naming rule and key for what is no domain.
    """
    wanting = [(number, spec) for number, spec in owned if spec.domains or spec.invites]
    problems = [fault for _, spec in wanting for fault in _faults(spec)]
    if problems:
        raise ValueError("\n".join(problems))
    return DomainSet(wanting) if wanting else None


def parse_domain(written: str) -> str:
    """The domain of what an operator wrote: bare, with a scheme, or with `*.` before it.

    Raises ValueError with the reason for what is none.
    """
    match = _WRITTEN.fullmatch(written.strip())
    if match is None:
        raise ValueError("it is no domain")
    if match[2] not in (None, "/"):
        raise ValueError("a domain has no path: take the whole domain, or a regex")
    labels = labels_of(Reading(match[1]).plain().text.strip("."))
    if len(labels) < 2 or not all(_is_label(label) for label in labels):
        raise ValueError("it is no domain")
    return ".".join(labels)


def looks_like_domain(written: str) -> bool:
    """Whether a term would be understood as a domain: `evil-site.com`, not `e.g` or `main.py`."""
    term = written.strip()
    if "/" in term or ":" in term or "*" in term:
        return False
    try:
        return _is_known(parse_domain(term).split("."))
    except ValueError:
        return False


def _is_label(label: str) -> bool:
    return 0 < len(label) <= 63 and all(each.isalnum() or each in "-_" for each in label)


def _may_hold_link(text: str) -> bool:
    """A quick look, which most messages don't pass; a dot at a sentence's end is none."""
    if "/" in text or "%" in text or "&" in text:
        return True
    if "." in text and _DOTTED.search(text) is not None:
        return True
    # to look for each of a few is faster than to look at each character
    return "dot" in text.lower() or (not text.isascii() and any(dot in text for dot in _DOT_LIKE))


def _is_link(text: str, start: int, end: int, labels: Sequence[str]) -> bool:
    before = text[max(0, start - 3) : start]
    if before[-2:] in ("//", "\\\\", ":/", ":\\"):
        return True
    if before[-1:] == "@":  # a mail address, unless it is the name in https://name@host
        word = text[max(0, start - 200) : start].split()[-1:]
        return bool(word) and "//" in word[0]
    has_path = text[end : end + 1] == "/" and text[end + 1 : end + 2].isalnum()
    return _is_known(labels) or (has_path and labels[-1] in COUNTRIES)


def _is_known(labels: Sequence[str]) -> bool:
    """Without a scheme it reads like an address, rather than like `main.py` or "this.is"."""
    ending = labels[-1]
    if ending not in GENERIC and ending not in COUNTRIES:
        return False
    return ending not in AMBIGUOUS or labels[0] == "www"


def _allowed(spec: RuleSpec) -> _Allowed:
    domains, paths = set(), set()
    for written in spec.allow:
        match = _WRITTEN.fullmatch(written.strip())
        if match is None:
            continue
        name, path = ".".join(labels_of(match[1])), (match[2] or "").strip("/")
        if path:
            code = path.rpartition("/")[2]
            paths.add(f"{name}/{path}")
            if is_invite_host(name):
                paths.add(code)
        elif "." in name:
            domains.add(name)
        else:
            paths.add(written.strip())
    return _Allowed(frozenset(domains), frozenset(paths))


def _faults(spec: RuleSpec) -> Iterator[str]:
    for written in spec.domains:
        if written != "*":
            try:
                parse_domain(written)
            except ValueError as exc:
                yield f"rule {spec.id!r}, domain {written!r}: {exc}"


def has_link(text: str) -> bool:
    """Whether the text has an address that leads somewhere."""
    if not _may_hold_link(text):
        return False
    plain = Reading(text).plain().text
    found = ((start, end, labels_of(plain[start:end])) for start, end, _ in hosts(plain))
    return any(_is_link(plain, *host) for host in found) or (
        "//" in plain and _LONE.search(plain) is not None
    )
