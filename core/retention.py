"""Erases what is older than the operator wants to keep; the ledger of usage holds no words."""

from __future__ import annotations

from core.storage import Op, query

DAY = 86_400.0  # seconds


def erase_op(before: float) -> Op[None]:
    """Erase messages in every version, images, verdicts, turns and feedback from before a time.

    A conversation's window simply begins later; one that has nothing left is forgotten.
    """
    for name in ("messages", "verdicts", "turns", "feedback", "conversations"):
        yield query(f"retention.{name}", before=before)
    for name in ("images", "parts"):
        yield query(f"retention.{name}")
