"""Downloads the files of messages from Discord's content network.

https://discord.com/developers/docs/reference#signed-attachment-cdn-urls
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from bots.discord import failures
from bots.discord.rest import Rest
from core.errors import AttachmentRejected, PlatformUnavailable, RateLimited
from core.messages import Attachment

HOSTS: Final = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
TIMEOUT: Final = 30.0
CHUNK: Final = 64 * 1024


class Downloads:
    """Fetches files; never from anywhere but Discord (or the API's own host, if it was moved)."""

    def __init__(self, rest: Rest, api_url: str) -> None:
        self._rest = rest
        self._own_host = urlsplit(api_url).hostname

    async def fetch(self, attachment: Attachment, limit: int) -> bytes:
        """The file's bytes. Raises AttachmentRejected, PlatformError."""
        if attachment.size > limit:
            raise AttachmentRejected(f"{attachment.name} is larger than {limit} bytes")
        if urlsplit(attachment.url).hostname not in (*HOSTS, self._own_host):
            raise AttachmentRejected(f"{attachment.name} is not stored at Discord")
        with failures.translated():
            async with (
                asyncio.timeout(TIMEOUT),
                self._rest.session.get(attachment.url, allow_redirects=False) as response,
            ):
                _check(response, attachment)
                return await _read(response, attachment, limit)


def _check(response: aiohttp.ClientResponse, attachment: Attachment) -> None:
    if response.status == 429:
        raise RateLimited("Discord asks for a pause", platform=failures.PLATFORM, code="429")
    if response.status >= 500:
        raise PlatformUnavailable(
            f"Discord's files fail with status {response.status}", platform=failures.PLATFORM
        )
    if response.status != 200:
        raise AttachmentRejected(f"{attachment.name} can't be downloaded ({response.status})")
    expected, actual = attachment.media_type, response.content_type
    is_page = actual == "text/html" != expected
    is_image = expected.startswith("image/") and expected != "image/svg+xml"
    if is_page or (is_image and not actual.startswith(("image/", "application/octet-stream"))):
        raise AttachmentRejected(
            f"{attachment.name} is {actual} and not {expected}, as it was announced"
        )


async def _read(response: aiohttp.ClientResponse, attachment: Attachment, limit: int) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK):
        data += chunk
        if len(data) > limit:
            raise AttachmentRejected(f"{attachment.name} is larger than {limit} bytes")
    return bytes(data)
