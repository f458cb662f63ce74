"""The HTTP API's section of the configuration."""

from __future__ import annotations

from typing import Annotated

import msgspec

from core.ranges import Port
from core.rates import Limits


class RestConfig(Limits, frozen=True, kw_only=True):
    """The HTTP API, for programs with a key; its limits hold for each key (UTC)."""

    enabled: bool = False
    """Serve the API; keys are made with `talkwarden key create`."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 for all of the machine's."""
    port: Port = 8080
    """The port to listen on; 0: any free one."""
    max_body: Annotated[int, msgspec.Meta(ge=1024)] = 20_000_000
    """Bytes of one request's body; images count as they are sent, in base64."""
    wait: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    """Seconds that a request may wait for a limit to end, before it is told to come back."""
    requests_kept: Annotated[float, msgspec.Meta(gt=0)] = 24.0
    """Hours that an answer is kept for its Idempotency-Key."""
    docs: bool = True
    """Serve the OpenAPI document and its page at /docs."""

    @property
    def limits(self) -> Limits:
        """What a key may use that has no limits of its own."""
        return Limits(**{name: getattr(self, name) for name in Limits.__struct_fields__})
