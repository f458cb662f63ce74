"""Downloads the files of messages: from Slack only, within a limit, and checked.

https://docs.slack.dev/messaging/working-with-files
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import aiohttp

from bots.slack.api import Api
from bots.slack.failures import missing_scope, translated
from core.errors import AttachmentRejected, PlatformUnavailable
from core.messages import Attachment
from core.secret import same_origin

_CHUNK: Final = 65536


async def fetch(api: Api, attachment: Attachment, limit: int) -> bytes:
    """The file's bytes. Raises AttachmentRejected, PlatformError."""
    url = attachment.url or await _url_of(api, attachment)
    if not _is_slack(url, api.client.base_url):
        # the token would go to whoever hosts the file
        raise AttachmentRejected(f"{attachment.name} is kept outside Slack")
    if attachment.size > limit:
        raise _too_large(attachment, limit)
    headers = {"Authorization": f"Bearer {api.token}"}
    with translated():
        async with api.session.get(url, headers=headers, proxy=api.proxy) as answer:
            if answer.status >= 500:
                raise PlatformUnavailable(f"Slack failed: status {answer.status}", platform="slack")
            if answer.status >= 400:
                raise AttachmentRejected(f"{attachment.name}: Slack says {answer.status}")
            if answer.content_type == "text/html" and attachment.media_type != "text/html":
                # without the scope Slack answers 200 and its login page
                why = f"{attachment.name} could not be read. {missing_scope('files:read')}"
                raise AttachmentRejected(why)
            return await _read(answer, attachment, limit)


async def _read(answer: aiohttp.ClientResponse, attachment: Attachment, limit: int) -> bytes:
    content = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > limit:
            raise _too_large(attachment, limit)
    return bytes(content)


async def _url_of(api: Api, attachment: Attachment) -> str:
    """Slack Connect holds back a file's address until it is asked for."""
    answer = await api.get("files.info", {"file": attachment.id})
    file = answer["file"] or {}
    return str(file.get("url_private_download") or file.get("url_private") or "")


def _is_slack(url: str, api_url: str) -> bool:
    host = urlsplit(url).hostname or ""
    is_slacks = host.endswith((".slack.com", ".slack-gov.com", ".slack-files.com"))
    return (is_slacks and url.startswith("https:")) or same_origin(url, api_url)


def _too_large(attachment: Attachment, limit: int) -> AttachmentRejected:
    return AttachmentRejected(f"{attachment.name} is larger than {limit // 1024} KiB")
