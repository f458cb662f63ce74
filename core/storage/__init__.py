"""Where everything is kept: one SQL text, two databases.

An operation is a generator: it yields a `Query` and is sent the rows. It neither knows nor cares
which database runs it, so an operation is written once and can be read as a small story:

    def rename(id: str, name: str) -> Op[bool]:
        rows = yield query("conversations.rename", id=id, name=name)
        return bool(rows)

A store runs one operation as one transaction. A write has two moments: *stored*, the statements
ran (a duplicate is known), and *durable*, the transaction is committed. Work that nobody can see
may start at the first; acknowledging or showing anything must wait for the second.
"""

from core.storage.store import Op, Query, Row, Store, Write, query

__all__ = ["Op", "Query", "Row", "Store", "Write", "query"]
