"""The OpenAPI document, and a page of it that needs nothing from elsewhere.

Litestar knows paths, parameters and methods; what a body may hold is told here, as far as a schema
can tell it.
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

from litestar import Litestar, MediaType, Response, get

from bots.rest.answers import document
from bots.rest.names import SHORT, plain
from bots.rest.schemas import BODIES, COMPONENTS, OPEN, PARAMETERS, RESPONSES
from bots.rest.services import Asked

_NAMED = re.compile(r"`([^`]+)`")


def documents() -> list[Any]:
    """The document's routes."""
    return [openapi, page]


@get("/openapi.json", operation_id="openapi", include_in_schema=False)
async def openapi(request: Asked) -> Response[bytes]:
    """The document."""
    return document(description(request.app))


@get("/docs", operation_id="docs", include_in_schema=False, media_type=MediaType.HTML)
async def page(request: Asked) -> str:
    """The document as a page."""
    return rendered(description(request.app))


@cache
def description(app: Litestar) -> dict[str, Any]:
    """The document, as plain data."""
    found: dict[str, Any] = app.openapi_schema.to_schema()
    found["components"] = {
        "schemas": COMPONENTS,
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    found["security"] = [{"key": []}]
    for methods in found["paths"].values():
        for method, operation in methods.items():
            if method in ("get", "post", "delete"):
                _complete(operation)
    return found


def _complete(operation: dict[str, Any]) -> None:
    name = plain(operation["operationId"])
    if name in OPEN:
        operation["security"] = []
    if (schema := BODIES.get(name)) is not None:
        operation["requestBody"] = {
            "required": name != "putChatSession",
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        }
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = PARAMETERS.get(parameter["name"], parameter["schema"])
    operation["responses"] = RESPONSES[name]


def rendered(described: dict[str, Any]) -> str:
    """The page: what there is to call, and what it takes and gives."""
    rows = [
        _row(path, method, operation)
        for path, methods in sorted(described["paths"].items())
        for method, operation in methods.items()
        if not operation["operationId"].endswith(SHORT)
    ]
    title = html.escape(f"{described['info']['title']} {described['info']['version']}")
    return _PAGE.format(title=title, rows="\n".join(rows), schemas=_schemas(described))


def _row(path: str, method: str, operation: dict[str, Any]) -> str:
    says = html.escape(operation.get("description") or operation.get("summary") or "")
    says = _NAMED.sub(r"<code>\1</code>", says)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    takes = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
    link = f'<a href="#{takes}">{takes}</a>' if takes else ""
    given = ", ".join(html.escape(each["name"]) for each in operation.get("parameters", ()))
    code = next(iter(operation["responses"]))
    return (
        f"<tr><td class=m>{method.upper()}</td><td><code>{html.escape(path)}</code></td>"
        f"<td>{says}</td><td>{given}</td><td>{link}</td><td>{code}</td></tr>"
    )


def _schemas(described: dict[str, Any]) -> str:
    import json  # noqa: PLC0415  # msgspec's own indents no tighter

    pieces = []
    for name, schema in described["components"]["schemas"].items():
        shown = html.escape(json.dumps(schema, indent=2))
        pieces.append(f"<details id={name}><summary>{name}</summary><pre>{shown}</pre></details>")
    return "\n".join(pieces)


_PAGE = """<!doctype html>
<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>{title}: HTTP API</title>
<style>
:root {{ color-scheme: light dark; }}
body {{
  font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
}}
table {{ border-collapse: collapse; width: 100%; }}
td, th {{
  text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8884; vertical-align: top;
}}
.m {{ font-weight: 600; }} code, pre {{ font: 13px/1.5 ui-monospace, monospace; }}
summary {{ cursor: pointer; padding: .3rem 0; font-weight: 600; }} pre {{ overflow: auto; }}
</style></head><body>
<h1>{title}: HTTP API</h1>
<p>Give your key as <code>Authorization: Bearer tw_...</code>; an operator makes one with
<code>talkwarden key create NAME --scope chat</code>. The document behind this page:
<a href="/openapi.json">openapi.json</a>. OpenAI's calls and conversations answer without
<code>/v1</code> too. Errors are
<code>{{"error": {{"message", "type", "param", "code"}}}}</code>.</p>
<table><thead><tr><th></th><th>path</th><th>what it does</th><th>parameters</th><th>body</th>
<th>answer</th></tr></thead><tbody>
{rows}
</tbody></table>
<h2>Bodies</h2>
{schemas}
</body></html>
"""
