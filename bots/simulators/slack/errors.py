"""What a Web API method raises to answer `ok: false`."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An error code of the method's reference page; `fields` join it in the answer."""

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields
