"""The operator's own rules: terms and regular expressions, judged locally before anything else.

Built whole or not at all. Nothing here reads a file; `word_files.py` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from core.errors import ConfigError
from core.moderation.finders import Finder, build_finders
from core.moderation.folding import encodable
from core.moderation.patterns import PatternError, PatternSet, compile_pattern
from core.moderation.specs import RuleSpec
from core.moderation.terms import TermList, Terms
from core.moderation.verdicts import MAX_HITS, STRICTNESS, Found, Hit, Verdict, Wanted


def parse_words(content: str) -> tuple[str, ...]:
    """The terms of a word file's content."""
    lines = (line.strip() for line in content.removeprefix("\ufeff").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


ALLOWED = Verdict()


class LocalRules:
    """Every rule in one scan of terms and one of expressions; safe to share between tasks."""

    __slots__ = (
        "_find", "_match", "_specs", "_wants", "allowed", "clean", "finders", "patterns", "terms",
        "withholding", "withholds_patterns",
    )  # fmt: skip

    def __init__(
        self,
        specs: Sequence[RuleSpec],
        terms: Terms | None,
        patterns: PatternSet | None,
        finders: tuple[Finder, ...] = (),
        allowed: Terms | None = None,
    ) -> None:
        self._specs = tuple(specs)
        self._wants = tuple(map(_wants, specs))
        self.terms = terms
        self._find = terms.finder if terms is not None else None
        self.patterns = patterns
        self._match = patterns.match if patterns is not None else None
        self.finders = finders
        self.allowed = allowed
        self.clean = ALLOWED
        """The verdict on a text in which nothing is found."""
        self.withholding = frozenset(
            number
            for number in range(len(specs))
            if self.strictness(number) >= STRICTNESS["redact"]
        )
        """The rules whose hits must not come out."""
        self.withholds_patterns = bool(finders) or (
            patterns is not None and patterns.serves(self.withholding)
        )

    @classmethod
    def build(
        cls, specs: Sequence[RuleSpec], words: Mapping[str, Sequence[str]] | None = None
    ) -> LocalRules:
        """Compile the rules; `words` holds the terms of each rule's file, by the rule's id.

        Raises one ConfigError that names everything that is wrong, rule by rule.
        """
        draft = _Draft()
        for number, spec in enumerate(specs):
            draft.add(number, spec, (words or {}).get(spec.id, ()))
        return cls(specs, *draft.finish(specs))

    @property
    def specs(self) -> tuple[RuleSpec, ...]:
        """As they were given; a rule's number is its place here."""
        return self._specs

    def __bool__(self) -> bool:
        return self.terms is not None or self.patterns is not None or bool(self.finders)

    def check(self, text: str) -> Verdict:
        """Judge a whole text."""
        find, match, finders = self._find, self._match, self.finders
        try:
            indexes = match(text.encode()) if match is not None else ()
        except UnicodeEncodeError:
            return self.check(encodable(text))
        sightings = find(text) if find is not None else ()
        if not (sightings or indexes or finders):
            return self.clean
        views: dict[Found, str] = {}
        rules = self.terms.rules if self.terms is not None else ()
        for start, end, term, view in sightings:
            key = start, end, rules[term]
            if not view or key not in views:
                views[key] = view
        found: Collection[Found] = views
        if indexes and self.patterns is not None:
            found = {*views, *self.patterns.spans(text, indexes)}
        for finder in finders:
            found = {*found, *finder.find(text)}
        if not found:
            return self.clean
        return self.verdict(self.not_allowed(found, text), views)

    def find_from(
        self, text: str, start: int, only: Collection[int] | None = None
    ) -> Iterator[Found]:
        """What is found by expressions and finders from `start` on, of `only` these rules."""
        if self.patterns is not None:
            yield from self.patterns.find_from(text, start, only)
        for finder in self.finders:
            for begin, end, rule in finder.find(text[start:] if start else text):
                if only is None or rule in only:
                    yield start + begin, start + end, rule

    def not_allowed(self, found: Collection[Found], text: str) -> Collection[Found]:
        """The findings without those that their rules' allow-lists cover."""
        if self.allowed is None or not found:
            return found
        rules = self.allowed.rules
        spans: dict[int, list[tuple[int, int]]] = {}
        for start, end, term, _ in self.allowed.find(text):
            spans.setdefault(rules[term], []).append((start, end))
        return [
            each
            for each in found
            if not any(low <= each[0] and each[1] <= high for low, high in spans.get(each[2], ()))
        ]

    def terms_in(self, text: str) -> Iterator[tuple[Hit, str]]:
        """Each hit of a term, with the term as it is compared (see `parse_term`)."""
        if self.terms is None:
            return
        rules, cores = self.terms.rules, self.terms.cores
        sightings = sorted(self.terms.find(text))
        counted = set(self.not_allowed({(s, e, rules[term]) for s, e, term, _ in sightings}, text))
        for start, end, term, view in sightings:
            found = start, end, rules[term]
            if found in counted:
                yield self._hit(found, view), cores[term]

    def verdict(
        self, found: Collection[Found], views: Mapping[Found, str] | None = None
    ) -> Verdict:
        """What these findings amount to: the strictest of their rules' actions."""
        if not found:
            return self.clean
        views = views or {}
        if len(found) == 1:
            return self._verdict_on(next(iter(found)), views)
        ordered = sorted(found)
        involved = dict.fromkeys(rule for _, _, rule in ordered)
        strictest = self._strictest(involved)
        if len(ordered) > MAX_HITS:
            ordered, rest = ordered[: MAX_HITS - 1], ordered[MAX_HITS - 1 :]
            last = self._strictest({rule for _, _, rule in rest})
            ordered.append((rest[0][0], max(end for _, end, _ in rest), last))
        return Verdict(
            decision=self._specs[strictest].action,
            categories=dict.fromkeys((self._specs[rule].category for rule in involved), 1.0),
            hits=tuple(self._hit(each, views.get(each, "")) for each in ordered),
            reason=f"rule {self._specs[strictest].id}",
            wants=tuple(want for rule in involved for want in self._wants[rule]),
        )

    def _verdict_on(self, only: Found, views: Mapping[Found, str]) -> Verdict:
        """As `verdict`, of the one finding that most such texts have."""
        rule = only[2]
        spec = self._specs[rule]
        return Verdict(
            decision=spec.action,
            categories={spec.category: 1.0},
            hits=(self._hit(only, views.get(only, "")),),
            reason=f"rule {spec.id}",
            wants=self._wants[rule],
        )

    def strictness(self, rule: int) -> int:
        """Of the rule with this number, as STRICTNESS has it."""
        return STRICTNESS[self._specs[rule].action]

    def _strictest(self, rules: Iterable[int]) -> int:
        return max(rules, key=self.strictness)

    def _hit(self, found: Found, view: str = "") -> Hit:
        start, end, rule = found
        spec = self._specs[rule]
        return Hit(spec.id, spec.category, start, end, spec.action, view=view)


class _Draft:
    """Collects what compiles and what is wrong, so that all problems come in one report."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._terms = TermList()
        self._allowed = TermList()
        self._strict: set[int] = set()
        self._patterns: list[tuple[int, object]] = []
        self._problems: list[str] = []

    def add(self, number: int, spec: RuleSpec, words: Sequence[str]) -> None:
        if not spec.id or spec.id in self._seen:
            fault = "is used twice" if spec.id else "is missing"
            self._problems.append(f"rule {number + 1}: its id {spec.id!r} {fault}")
        self._seen.add(spec.id)
        self._problems.extend(
            f"rule {spec.id!r}, {fault}" for fault in self._read(number, spec, words)
        )

    def _read(self, number: int, spec: RuleSpec, words: Sequence[str]) -> Iterator[str]:
        if spec.strict_spelling:
            self._strict.add(number)
        for key, given, read in (
            ("term", (*spec.terms, *words), self._terms),
            ("allow", spec.allow if spec.allow != ("*",) else (), self._allowed),
        ):
            for written in given:
                try:
                    read.add(number, written)
                except ValueError as exc:
                    yield f"{key} {_short(written)}: {exc}"
        for written in spec.regexes:
            try:
                compiled = compile_pattern(written, case_sensitive=spec.case_sensitive)
            except PatternError as exc:
                yield f"regex {_short(written)}: {exc}"
            else:
                self._patterns.append((number, compiled))

    def finish(
        self, specs: Sequence[RuleSpec]
    ) -> tuple[Terms | None, PatternSet | None, tuple[Finder, ...], Terms | None]:
        finders, faults = build_finders(specs)
        self._problems.extend(faults)
        patterns = None
        if self._patterns and not self._problems:
            try:
                patterns = PatternSet(self._patterns)
            except PatternError as exc:
                self._problems.append(f"the {len(self._patterns)} regexes: {exc}")
        if self._problems:
            raise ConfigError("\n".join(self._problems), key="moderation.rules")
        terms = Terms(self._terms, self._strict) if self._terms else None
        everyone = set(self._allowed.rules)
        return terms, patterns, finders, Terms(self._allowed, everyone) if self._allowed else None


def _wants(spec: RuleSpec) -> tuple[Wanted, ...]:
    """What a hit of the rule asks for; points come once, with its first action, or as a note."""
    actions = spec.do or (("note",) if spec.points else ())
    return tuple(
        Wanted(
            action,
            spec.id,
            spec.timeout if action == "timeout" else 0,
            0.0 if position else spec.points,
        )
        for position, action in enumerate(actions)
    )


def _short(written: str) -> str:
    return repr(written if len(written) <= 60 else written[:57] + "...")
