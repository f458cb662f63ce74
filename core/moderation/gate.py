"""The streaming gate: lets an answer out as it is written, and nothing that breaks a rule.

    feed(delta) -> text that the local rules let out      finish() -> the rest
    clear()     -> text that the remote scorer let out too

For terms it holds back only an ending that may still become one, and rescans only what it holds.
A word in which a disguise may be under way (figures, signs, letters apart) is held until it is
over. What still got out, since its beginning looked like any word, is found at the end, late.
Expressions are judged when their token is over, so the last token is held. Where a redacting rule
hits, the text comes out masked; a refusing or holding one raises Violation.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

from core.errors import TalkwardenError
from core.moderation.folding import encodable, fold
from core.moderation.rules import LocalRules
from core.moderation.scripts import is_ambiguous
from core.moderation.sighting import Sighting
from core.moderation.suspense import undecided_from
from core.moderation.verdicts import STRICTNESS, Found, Verdict, mask, merge

MAX_TOKEN = 256
"""Characters of an unfinished token that are held; one that is longer comes out at its front."""
REGEX_CONTEXT = 256
"""Released characters that an expression still sees."""
CONTEXT = 4
"""Released characters before a term: fewer would look like letters that stand alone."""
SCORE_CONTEXT = 500
"""Released characters that the scorer still sees."""

# a token ends at white space and at each character of the scripts written without it
_TOKEN_END = re.compile(r"[\s\u2e80-\ua4cf\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")

Score = Callable[[str], Awaitable[Verdict]]


class Violation(TalkwardenError):
    """The answer breaks a rule, so it stops here."""

    def __init__(self, verdict: Verdict, *, late: bool) -> None:
        super().__init__(f"moderation: {verdict.decision} ({verdict.reason})")
        self.verdict = verdict
        """Of the whole answer so far; its spans count from the answer's first character."""
        self.late = late
        """Part of what is wrong was let out before it could be known: withdraw it."""


class StreamGate:
    """One answer's way out; not shared between answers."""

    __slots__ = (
        "_found", "_held", "_is_on", "_judged", "_last", "_let_out", "_lock", "_masks", "_open",
        "_read", "_ready", "_remote", "_rules", "_score", "_scored", "_seen", "_sightings",
        "_stopped", "_views",
    )  # fmt: skip

    def __init__(self, rules: LocalRules, score: Score | None = None) -> None:
        self._rules = rules
        self._is_on = bool(rules)
        self._score = score
        self._held = ""
        self._last = ""
        self._seen = ""
        self._read = ""  # of a short answer the last look is the first
        self._sightings: Sequence[Sighting] = ()
        self._let_out = 0
        self._judged = 0
        self._open = 0
        self._masks: list[tuple[int, int]] = []
        self._found: set[Found] = set()
        self._views: dict[Found, str] = {}
        self._remote: Verdict | None = None
        self._stopped: Violation | None = None
        self._ready: list[str] = []
        self._scored = ""
        self._lock = asyncio.Lock()

    @property
    def verdict(self) -> Verdict:
        """Of everything fed and scored so far."""
        local = self._rules.verdict(self._found, self._views)
        return local if self._remote is None else merge(local, self._remote)

    @property
    def held(self) -> int:
        """Characters that are held back by the local rules."""
        return len(self._held)

    def feed(self, text: str) -> str:
        """Take the next piece, give what may be seen now; raises Violation."""
        return self._advance(text, final=False)

    def finish(self) -> str:
        """The answer is over: give what was held; raises Violation."""
        return self._advance("", final=True)

    async def clear(self) -> str:
        """What the local rules let out since the last call, once the scorer has judged it.

        Without a scorer it returns at once. Cancelled, it loses nothing: the next call takes the
        text up. Raises Violation.
        """
        async with self._lock:
            if self._stopped is not None:
                raise self._stopped
            pieces = len(self._ready)
            text = "".join(self._ready[:pieces])
            if text and self._score is not None:
                verdict = await self._score(self._scored + text)
                self._remote = merge(self._remote, verdict) if self._remote else verdict
                if not verdict.is_allowed:
                    raise self._stop(late=bool(self._scored))
                # fed meanwhile, something may have stopped the answer
                if self._stopped is not None:
                    raise self._stopped
                self._scored = (self._scored + text)[-SCORE_CONTEXT:]
            del self._ready[:pieces]
            return text

    def _advance(self, text: str, *, final: bool) -> str:
        if self._stopped is not None:
            raise self._stopped
        rules = self._rules
        if not self._is_on:
            self._let_out += len(text)
            return self._release(text)
        held = self._held + text
        self._seen += encodable(text)
        hold = self._scan_terms(held, final=final)
        if rules.patterns is not None or rules.finders:
            hold = min(hold, self._scan_patterns(held, final=final))
        self._held = held[hold:]
        out = held[:hold]
        if out:
            self._last = (self._last + encodable(out[-CONTEXT:]))[-CONTEXT:]
            out = self._masked(out)
            self._let_out += hold
        return self._release(out)

    def _release(self, text: str) -> str:
        if text:
            self._ready.append(text)
        return text

    def _scan_terms(self, held: str, *, final: bool) -> int:
        """Record the terms that are certain now; the index in the held text to hold from."""
        terms = self._rules.terms
        if terms is None:
            return len(held)
        hold = len(held) if final else self._open_from(held)
        # the last time over everything, for what a disguise spreads over several words
        text, base = (
            (self._seen, 0) if final else (self._last + held, self._let_out - len(self._last))
        )
        found: list[Found] = []
        if text != self._read:
            self._read, self._sightings = text, terms.find(text)
        for start, end, term, view in self._sightings:
            begin, stop = base + start, base + end
            if not final and not self._is_certain(begin, stop, hold, term, view, text[start:end]):
                continue
            each = begin, stop, terms.rules[term]
            if each not in self._found:
                self._views[each] = view
            found.append(each)
        if found:
            self._judge(list(self._rules.not_allowed(found, text) if not base else found))
        return hold

    def _open_from(self, held: str) -> int:
        """Where in the held text a term may begin that is not over yet."""
        terms = self._rules.terms
        assert terms is not None
        before = len(self._last)
        # a beginning that was ruled out before stays so
        low = max(0, self._open - self._let_out)
        if held.isascii():
            hold = terms.open_from(self._last + held.lower(), before + low) - before
        else:
            folded = fold(held)
            at = terms.open_from(self._last + folded.text, before + folded.folded_from(low))
            at -= before
            hold = len(held) if at >= len(folded.text) else folded.start(at)
        self._open = self._let_out + hold
        return min(hold, undecided_from(held)) if terms.has_views else hold

    def _is_certain(  # one question about one sighting
        self, begin: int, stop: int, hold: int, term: int, view: str, written: str
    ) -> bool:
        """Whether no character that is still to come can change what was sighted."""
        terms = self._rules.terms
        assert terms is not None
        if begin < self._let_out:
            return False
        known = len(self._seen)
        if view:
            return stop <= self._let_out + hold and not is_ambiguous(written)
        return stop < known or not terms.needs_edge(term)

    def _scan_patterns(self, held: str, *, final: bool) -> int:
        """Record the expressions' matches that are certain now; the index to hold from."""
        if not (final or self._rules.withholds_patterns):
            return len(held)
        hold = len(held) if final else _token_start(held)
        if not (hold or final):
            return hold
        total = len(self._seen)
        # the last time over everything, for what is longer than the context or only noted
        start = 0 if final else max(0, self._let_out - REGEX_CONTEXT)
        only = None if final else self._rules.withholding
        found: list[Found] = []
        for begin, end, rule in self._rules.find_from(self._seen, start, only):
            if end < self._judged and not final:
                continue
            # one that reaches the end may still grow, or not be one after all ("$")
            if end == total and not final and total - begin <= MAX_TOKEN:
                hold = min(hold, max(0, begin - self._let_out))
            else:
                found.append((begin, end, rule))
        self._judged = total
        self._judge(found)
        return hold

    def _judge(self, found: list[Found]) -> None:
        late = False
        stops = False
        for each in found:
            start, end, rule = each
            if each in self._found:
                continue
            if rule in self._rules.withholding:
                seen = start < self._let_out and not self._covered(start, end)
                self._masks.append((start, end))
                late = late or seen
                stops = stops or seen or self._rules.strictness(rule) > STRICTNESS["redact"]
            self._found.add(each)
        if stops:
            raise self._stop(late=late)

    def _covered(self, start: int, end: int) -> bool:
        """Whether what is out of it went out masked."""
        end = min(end, self._let_out)
        return any(
            known[0] <= start and known[1] >= end
            for known in self._found
            if known[2] in self._rules.withholding
        )

    def _masked(self, out: str) -> str:
        if not self._masks:
            return out
        begin = self._let_out
        end = begin + len(out)
        out = mask(out, [(low - begin, high - begin) for low, high in self._masks])
        self._masks = [span for span in self._masks if span[1] > end]
        return out

    def _stop(self, *, late: bool) -> Violation:
        self._stopped = Violation(self.verdict, late=late)
        return self._stopped


def _token_start(held: str) -> int:
    """Where the unfinished token begins; no more than MAX_TOKEN characters from the end."""
    tail = held[-MAX_TOKEN:]
    last = _TOKEN_END.search(tail[::-1])
    return len(held) - (len(tail) if last is None else last.start())
