"""Discord's limits on what a message may hold; pure. Raises `ApiError`."""

from __future__ import annotations

from typing import Any

from bots.simulators.discord.errors import ApiError, bad_length, invalid_form, too_long
from bots.simulators.discord.model import COMPONENTS_V2, Json, walk

CONTENT, NONCE, EMBEDS, EMBED_TOTAL = 2000, 25, 10, 6000
ROWS, ROW_WIDTH, V2_TOTAL, V2_TEXT = 5, 5, 40, 4000
OPTIONS, CUSTOM_ID, LABEL, FILES = 25, 100, 80, 10
EMBED_TEXTS = (("title", 256), ("description", 4096))
EMBED_PARTS = (("footer", "text", 2048), ("author", "name", 256))
ACTION_ROW, BUTTON, SELECT, TEXT_DISPLAY = 1, 2, 3, 10
SELECTS = frozenset({3, 5, 6, 7, 8})


def check_message(body: Json, flags: int, *, files: int = 0, creating: bool = True) -> None:
    """Refuse a message body that breaks a limit; `flags` are those it will have."""
    _check_content(body)
    nonce = body.get("nonce")
    if nonce is not None and len(str(nonce)) > NONCE:
        raise too_long("nonce", NONCE)
    embeds = body.get("embeds") or []
    _check_embeds(embeds)
    components = body.get("components") or []
    if flags & COMPONENTS_V2:
        _check_v2(body, components)
    else:
        _check_legacy(components)
    if len(body.get("attachments") or []) > FILES:
        raise bad_length("attachments", 0, FILES)
    filled = body.get("content") or embeds or components or files
    if creating and not (filled or body.get("sticker_ids") or body.get("poll")):
        raise ApiError(50006)


def _check_content(body: Json) -> None:
    content = body.get("content")
    if content is None:
        return
    if not isinstance(content, str):
        raise invalid_form("content", "BASE_TYPE_STRING", "Could not interpret as string.")
    if len(content) > CONTENT:
        raise too_long("content", CONTENT)


def _check_embeds(embeds: list[Json]) -> None:
    if not embeds:
        return
    if len(embeds) > EMBEDS:
        raise too_long("embeds", EMBEDS)
    total = sum(_check_embed(embed, f"embeds.{index}") for index, embed in enumerate(embeds))
    if total > EMBED_TOTAL:
        raise invalid_form(
            "embeds", "MAX_EMBED_SIZE_EXCEEDED", f"Embed size exceeds maximum size of {EMBED_TOTAL}"
        )


def _check_embed(embed: Json, path: str) -> int:
    total = 0
    for key, limit in EMBED_TEXTS:
        total += _measure(embed.get(key), limit, f"{path}.{key}")
    for part, key, limit in EMBED_PARTS:
        total += _measure((embed.get(part) or {}).get(key), limit, f"{path}.{part}.{key}")
    fields = embed.get("fields") or []
    if len(fields) > 25:
        raise too_long(f"{path}.fields", 25)
    for index, field in enumerate(fields):
        total += _measure(field.get("name"), 256, f"{path}.fields.{index}.name")
        total += _measure(field.get("value"), 1024, f"{path}.fields.{index}.value")
    return total


def _measure(text: Any, limit: int, path: str) -> int:
    if not text:
        return 0
    if len(text) > limit:
        raise too_long(path, limit)
    return len(text)


def _check_legacy(rows: list[Json]) -> None:
    if not rows:
        return
    if len(rows) > ROWS:
        raise bad_length("components", 1, ROWS)
    for index, row in enumerate(rows):
        path = f"components.{index}"
        if row.get("type") != ACTION_ROW:
            raise invalid_form(f"{path}.type", "BASE_TYPE_CHOICES", "Value must be one of {1}.")
        inner = row.get("components") or []
        width = 1 if any(item.get("type") in SELECTS for item in inner) else ROW_WIDTH
        if not 1 <= len(inner) <= width:
            raise bad_length(f"{path}.components", 1, width)
    _check_items(rows)


def _check_v2(body: Json, components: list[Json]) -> None:
    for key in ("content", "embeds", "poll", "sticker_ids"):
        if body.get(key):
            raise invalid_form(
                key,
                "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                f"The '{key}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2",
            )
    everything = walk(components)
    if len(everything) > V2_TOTAL:
        raise bad_length("components", 1, V2_TOTAL)
    texts = [item.get("content") or "" for item in everything if item.get("type") == TEXT_DISPLAY]
    if sum(map(len, texts)) > V2_TEXT:
        raise invalid_form(
            "components",
            "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED",
            f"The total displayable text size exceeds maximum size of {V2_TEXT}",
        )
    _check_items(components)


def _check_items(components: list[Json]) -> None:
    seen: set[str] = set()
    for item in walk(components):
        custom_id = item.get("custom_id")
        if custom_id is not None:
            if not 1 <= len(custom_id) <= CUSTOM_ID:
                raise bad_length("components.custom_id", 1, CUSTOM_ID)
            if custom_id in seen:
                raise invalid_form(
                    "components",
                    "COMPONENT_CUSTOM_ID_DUPLICATED",
                    "Component custom id cannot be duplicated",
                )
            seen.add(custom_id)
        if item.get("type") == BUTTON and len(item.get("label") or "") > LABEL:
            raise too_long("components.label", LABEL)
        if item.get("type") == SELECT and not 1 <= len(item.get("options") or []) <= OPTIONS:
            raise bad_length("components.options", 1, OPTIONS)
