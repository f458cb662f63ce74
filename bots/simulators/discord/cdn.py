"""Serves attachments by signed addresses that expire.

https://discord.com/developers/docs/reference#signed-attachment-cdn-urls
"""

from __future__ import annotations

import hmac
import time

from aiohttp import web

from bots.simulators.discord.payloads import sign
from bots.simulators.discord.world import World

GONE = "This content is no longer available."


def serve(world: World, request: web.BaseRequest) -> web.Response:
    """The file, or 404 if the address was changed or has expired."""
    parts = request.path.split("/")
    # "", cdn, attachments, channel, attachment, filename
    if len(parts) != 6 or not (parts[3].isdigit() and parts[4].isdigit()):
        return web.Response(status=404, text=GONE)
    attachment = world.files.get(int(parts[4]))
    expires = request.query.get("ex", "0")
    wanted = sign(int(parts[3]), int(parts[4]), expires)
    genuine = hmac.compare_digest(wanted, request.query.get("hm", ""))
    if attachment is None or not genuine or int(expires, 16) < time.time():
        return web.Response(status=404, text=GONE)
    headers = {"Content-Type": attachment.content_type}
    return web.Response(body=attachment.data, headers=headers)
