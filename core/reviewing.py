"""What moderators decide about cases, and what authors may say against it.

The first decision counts: whoever comes second is told of it. A decision, what it leads to (an
action, a release, a label to learn from) and the alerts that show it are one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import msgspec

from core.access import may_configure
from core.actions import decode_order, of_case_op, order_id, put_op, renew_alerts_op
from core.adapter import Order
from core.cases import Case, get_op
from core.config import AccessConfig
from core.messages import Author, Command, Edited, Message, Place
from core.storage import Op, Row, Store, query

Verb: TypeAlias = Literal["right", "wrong", "delete", "timeout"]

VERBS = ("right", "wrong", "delete", "timeout")
BY_A_MODERATOR = "a moderator decided"
CALLED_OFF = "a moderator found the rule wrong"

UNKNOWN = "I don't know this case any more."
NOT_PERMITTED = "Deciding this takes a moderator of this workspace."
OWN = "This is about your own message, so somebody else has to decide."
NOT_YOURS = "Only the author of the message can appeal."
ONCE = "You have appealed already. A moderator looks at it."
IN_FAVOUR = "A moderator has already decided in your favour."
APPEALED = "A moderator will look at it again."
NOTHING_TO_DELETE = "There is no message that I could delete."
NOBODY = "There is nobody whom I could time out."


class Label(msgspec.Struct, frozen=True):
    """What a moderator's decision teaches: masked as the history is."""

    case: str
    workspace: str
    text: str
    category: str
    is_violation: bool


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of a decision; not `is_new`: there had been one before."""

    case: Case
    is_new: bool
    label: Label | None = None
    lane: str = ""
    """The inbox's lane that got a message back."""
    is_lifted: bool = False
    """A timeout is being lifted."""


def _nothing(what: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Reviews:
    """Carries the buttons of alerts and warnings out. `enforce` wakes the enforcer, `resume` the
    engine on a lane, `learn` is told of every label."""

    store: Store
    access: AccessConfig
    enforce: Callable[[], None]
    resume: Callable[[str], None]
    learn: Callable[[Label], None] = _nothing
    clock: Callable[[], float] = time.time

    async def run(self, command: Command) -> str:
        """The sentence for who pressed the button. Raises StoreError."""
        verb, _, name = command.argument.strip().partition(" ")
        case = await self.store.read(get_op(name.strip()))
        if case is None or case.file.place.platform != command.place.platform:
            return UNKNOWN
        if verb == "appeal":
            return await self._appeal(case, command)
        if verb not in VERBS:
            return UNKNOWN
        return await self._decide(case, cast("Verb", verb), command)

    async def _decide(self, case: Case, verb: Verb, command: Command) -> str:
        author, file = command.author, case.file
        if not self._may_decide(case, command.place, author):
            return NOT_PERMITTED
        if case.direction == "in" and author.id == case.author_id:
            return OWN
        if verb == "delete" and not (file.message_id and case.direction == "in"):
            return NOTHING_TO_DELETE
        if verb == "timeout" and not (case.author_id and case.direction == "in"):
            return NOBODY
        decided = await self.store.write(decide_op(case.id, verb, author, self.clock()))
        if decided is None:
            return UNKNOWN
        if decided.is_new:
            self.enforce()
            if decided.label is not None:
                self.learn(decided.label)
            if decided.lane:
                self.resume(decided.lane)
        return _answer(decided, verb, author)

    def _may_decide(self, case: Case, place: Place, author: Author) -> bool:
        home = case.file.place
        if place.workspace != home.workspace or author.is_bot:
            return False
        if case.review and place.channel == case.review:
            return True
        is_moderator = author.may_moderate and not author.is_external
        return is_moderator or may_configure(self.access, author)

    async def _appeal(self, case: Case, command: Command) -> str:
        if case.direction != "in" or command.author.id != case.author_id:
            return NOT_YOURS
        if case.appealed_at:
            return ONCE
        if case.decision == "wrong":
            return IN_FAVOUR
        is_new = await self.store.write(appeal_op(case, self.clock()))
        if not is_new:
            return ONCE
        self.enforce()
        return APPEALED


def decide_op(name: str, verb: Verb, by: Author, now: float) -> Op[Decided | None]:
    """Take the decision, if none was taken, and write down what follows from it."""
    rows = yield query(
        "cases.decide", id=name, decision=verb, by=by.id, name=by.name or by.id, now=now
    )
    case = yield from get_op(name)
    if case is None or not rows:
        return None if case is None else Decided(case, is_new=False)
    label = yield from _label_op(case, now)
    lane, is_lifted = "", False
    if verb == "wrong":
        yield query("actions.cancel", case_id=case.id, reason=CALLED_OFF, now=now)
        yield from _forgive_op(case)
        is_lifted = yield from _lift_op(case, now)
        lane = yield from _release_op(case, now)
    elif verb in {"delete", "timeout"}:
        until = now + case.file.timeout if verb == "timeout" else 0.0
        yield from put_op(case.key, _lane(case), _order(case, verb, until), BY_A_MODERATOR, now)
    yield from renew_alerts_op(case.id, case.key, now)
    return Decided(case, is_new=True, label=label, lane=lane, is_lifted=is_lifted)


def appeal_op(case: Case, now: float) -> Op[bool]:
    """Ask for another decision: a new alert, and the earlier ones say so; False: not the first."""
    rows = yield query("cases.appeal", id=case.id, now=now)
    if not rows:
        return False
    file, subject = case.file, f"appeal {case.id}"
    alert = Order(
        order_id(subject, "alert"),
        "alert",
        file.place,
        file.author,
        file.message_id,
        file.what,
        case=case.id,
        channel=case.review,
    )
    yield from put_op(subject, _lane(case), alert, "the author appealed", now)
    yield from renew_alerts_op(case.id, subject, now)
    return True


def _label_op(case: Case, now: float) -> Op[Label | None]:
    file = case.file
    if not file.text.strip():
        return None
    label = Label(case.id, file.place.workspace, file.text, file.category, case.decision != "wrong")
    yield query(
        "cases.label",
        case_id=case.id,
        platform=file.place.platform,
        workspace=label.workspace,
        text=label.text,
        category=label.category,
        scores=msgspec.json.encode(file.scored).decode(),
        is_violation=int(label.is_violation),
        now=now,
    )
    return label


def _forgive_op(case: Case) -> Op[None]:
    place = case.file.place
    yield query(
        "points.forgive",
        platform=place.platform,
        workspace=place.workspace,
        author=case.author_id,
        subject=case.subject,
    )


def _lift_op(case: Case, now: float) -> Op[bool]:
    """End a timeout that this case led to and that may still run."""
    rows = yield from of_case_op(case.id)
    if not any(_may_run(row, now) for row in rows):
        return False
    order = _order(case, "timeout", 0.0)
    yield from put_op(case.key, _lane(case), order, CALLED_OFF, now)
    return True


def _may_run(row: Row, now: float) -> bool:
    was_tried = row["state"] in {"done", "unknown", "attempted"}
    return row["action"] == "timeout" and was_tried and decode_order(row).until > now


def _release_op(case: Case, now: float) -> Op[str]:
    """Hand a held message to the inbox once more; its lane, or nothing if none is held."""
    if case.event is None or (yield from _is_gone_op(case.event)):
        return ""
    event = msgspec.structs.replace(case.event, released=case.id)
    version = event.version if isinstance(event, Edited) else ""
    yield query(
        "inbox.accept",
        platform=event.place.platform,
        workspace=event.place.workspace,
        channel=event.place.channel,
        message=event.id,
        kind="edit" if isinstance(event, Edited) else "post",
        version=f"{version} released {case.id}".strip(),
        client_id=None,
        lane=event.conversation,
        position=event.position,
        payload=msgspec.json.encode(event).decode(),
        now=now,
    )
    yield query("cases.released", id=case.id)
    return event.conversation


def _is_gone_op(event: Message | Edited) -> Op[bool]:
    """The message was deleted, by its author or by ourselves: nobody waits for an answer."""
    place = event.place
    rows = yield query(
        "cases.deletion",
        platform=place.platform,
        workspace=place.workspace,
        channel=place.channel,
        message=event.id,
    )
    return bool(rows)


def _lane(case: Case) -> str:
    place = case.file.place
    return f"{place.platform}:{place.workspace}:{case.author_id}"


def _order(case: Case, action: str, until: float) -> Order:
    file = case.file
    return Order(
        order_id(case.key, action),
        action,
        file.place,
        file.author,
        file.message_id,
        file.what,
        until=until,
        reason=f"talkwarden: {BY_A_MODERATOR}",
        case=case.id,
    )


def _answer(decided: Decided, verb: Verb, by: Author) -> str:
    case = decided.case
    if not decided.is_new and (case.decision, case.decided_by) != (verb, by.id):
        return f"{case.decided_name} has decided already: {case.decision}."
    said: Mapping[Verb, str] = {
        "right": "Noted: the rule was right.",
        "wrong": "Noted: the rule was wrong.",
        "delete": "Noted: the message is to be deleted.",
        "timeout": f"Noted: the author is to be timed out for {_duration(case.file.timeout)}.",
    }
    more = [said[verb]]
    if decided.lane:
        more.append("I let the message through.")
    if decided.is_lifted:
        more.append("The timeout is lifted.")
    return " ".join(more)


def _duration(seconds: int) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds} seconds"
