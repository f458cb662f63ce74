"""What bodies hold, as JSON Schema, for the OpenAPI document.

core/completions checks requests, and says more about what is wrong than a schema can; this says
the same as far as the two can agree. Fields that are not named pass through.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from core.keys import SCOPES
from core.rates import Limits

Schema: TypeAlias = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
FILLED: Final[Schema] = {"type": "string", "minLength": 1}
FLAG: Final[Schema] = {"type": "boolean"}


def optional(schema: Schema) -> Schema:
    """The value, or null for a field that is left out."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def number(low: float, high: float | None = None, kind: str = "number") -> Schema:
    """A number within a range, the ends included."""
    bounds: Schema = {"type": kind, "minimum": low}
    return bounds if high is None else {**bounds, "maximum": high}


def array(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    """A list of so many entries."""
    found: Schema = {"type": "array", "items": items, "minItems": least}
    return found if most is None else {**found, "maxItems": most}


def record(
    required: dict[str, Schema], others: dict[str, Schema] | None = None, **more: Any
) -> Schema:
    """An object; others may be null or left out."""
    fields = required | {name: optional(each) for name, each in (others or {}).items()}
    found: Schema = {"type": "object", "properties": fields, **more}
    return {**found, "required": list(required)} if required else found


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _const(value: str) -> Schema:
    return {"type": "string", "enum": [value]}


def other(*known: str) -> Schema:
    """An object of a kind that is not known here: it passes."""
    return record({"type": {"type": "string", "not": {"enum": list(known)}}})


_IMAGE = record({"url": FILLED}, {"detail": TEXT})
_PART: Schema = {
    "anyOf": [
        record({"type": _const("text"), "text": TEXT}),
        record({"type": _const("image_url"), "image_url": _IMAGE}),
        other("text", "image_url", "input_audio", "file", "refusal"),
    ]
}
_SCORED: Schema = {"anyOf": [_PART["anyOf"][0], other("text", "image_url")]}
_PICTURE: Schema = _PART["anyOf"][1]
_CONTENT: Schema = {"anyOf": [TEXT, array(_PART, 1)]}
_CALL = record(
    {"id": FILLED, "type": _const("function"),
     "function": record({"name": FILLED, "arguments": TEXT})}
)  # fmt: skip
_OTHER_CALL = record({"id": FILLED, "type": {"type": "string", "not": {"enum": ["function"]}}})
_ANY_CALL: Schema = {"anyOf": [_CALL, _OTHER_CALL]}
_SPOKEN = ("system", "developer", "user")
MESSAGE: Final[Schema] = {
    "anyOf": [
        *(record({"role": _const(role), "content": _CONTENT}, {"name": TEXT}) for role in _SPOKEN),
        record({"role": _const("assistant"), "content": _CONTENT},
               {"name": TEXT, "refusal": TEXT, "tool_calls": array(_ANY_CALL, 1)}),
        record({"role": _const("assistant"), "tool_calls": array(_ANY_CALL, 1)},
               {"content": _CONTENT, "name": TEXT}),
        record({"role": _const("tool"), "content": _CONTENT, "tool_call_id": FILLED}),
        record({"role": _const("function"), "name": FILLED}, {"content": TEXT}),
    ]
}  # fmt: skip
_STOP: Schema = {"anyOf": [TEXT, array(TEXT, 1, 4)]}
_BIAS: Schema = {"type": "object", "additionalProperties": number(-100, 100)}
_METADATA: Schema = {
    "type": "object",
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}
SAMPLING: Final[dict[str, Schema]] = {
    "n": number(1, 128, "integer"),
    "stop": _STOP,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "user": TEXT,
}
PENALTIES: Final[dict[str, Schema]] = {
    "frequency_penalty": number(-2, 2),
    "logit_bias": _BIAS,
    "presence_penalty": number(-2, 2),
    "seed": number(-(2**63), 2**63 - 1, "integer"),
    "stream": FLAG,
}
TOOL: Final = record(
    {
        "type": _const("function"),
        "function": record(
            {"name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}},
            {"description": TEXT, "strict": FLAG, "parameters": _ref("JsonSchema")},
        ),
    }
)
CHAT_FIELDS: Final[dict[str, Schema]] = {
    **SAMPLING,
    **PENALTIES,
    "logprobs": FLAG,
    "max_completion_tokens": number(1, kind="integer"),
    "max_tokens": number(1, kind="integer"),
    "metadata": _METADATA,
    "modalities": array(TEXT, 1),
    "model": FILLED,
    "parallel_tool_calls": FLAG,
    "prompt_cache_key": TEXT,
    "reasoning_effort": TEXT,
    "response_format": {
        "anyOf": [
            other("json_schema"),
            record({"type": _const("json_schema"),
                    "json_schema": record(
                        {"name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}},
                        {"description": TEXT, "strict": FLAG, "schema": _ref("JsonSchema")})}),
        ]
    },
    "safety_identifier": TEXT,
    "service_tier": TEXT,
    "store": FLAG,
    "system": {"anyOf": [TEXT, record({"role": _const("system"), "content": TEXT})]},
    "tools": {"anyOf": [array(TOOL, 1, 1), array(other("function"), 0, 128)]},
    "verbosity": TEXT,
}  # fmt: skip

_PROMPT: Schema = {"anyOf": [TEXT, array(TEXT, 1, 2048)]}
_TOKENS: Schema = array(number(0, kind="integer"), 1, 2048)
_INPUT: Schema = {
    "anyOf": [
        FILLED,
        array(TEXT, 1, 2048),
        _TOKENS,
        array(array(number(0, kind="integer"), 1), 1, 2048),
    ]
}
_TRUTH: Schema = {"anyOf": [FLAG, {"type": "string", "enum": ["true", "false"]}]}

_PIXEL: Schema = {"type": "string", "enum": ["data:image/png;base64,"]}
_KEPT_PART: Schema = {
    "anyOf": [
        record({"type": _const("text"), "text": TEXT}),
        record({"type": _const("image_url"),
                "image_url": record({"url": _PIXEL})}),
    ]
}  # fmt: skip
_KEPT: Schema = {"anyOf": [TEXT, array(_KEPT_PART, 1)]}
_KEPT_MESSAGE: Schema = {
    "anyOf": [
        record({"role": _const(role), "content": _KEPT}, {"name": TEXT})
        for role in ("system", "developer", "user", "assistant")
    ]
}
_ERROR: Schema = record(
    {
        "error": record(
            {"message": TEXT, "type": TEXT, "param": optional(TEXT), "code": optional(TEXT)}
        )
    }
)
_USAGE = record({}, {name: number(0, kind="integer") for name in
                     ("prompt_tokens", "completion_tokens", "total_tokens")})  # fmt: skip
_TURN = record(
    {
        "id": TEXT, "message": TEXT, "conversation_id": TEXT, "parent_id": TEXT, "model": TEXT,
        "author": record({"role": TEXT, "name": optional(TEXT), "metadata": {"type": "object"}}),
        "finish_details": TEXT, "end_turn": FLAG, "recipient": TEXT,
        "citations": {"type": "array"},
    }
)  # fmt: skip
_SESSION = record(
    {"id": TEXT, "session_id": TEXT, "object": _const("session"), "created": {"type": "integer"},
     "model": optional(TEXT), "completion": {"type": "object"},
     "messages": {"type": "array", "items": {"type": "object"}}}
)  # fmt: skip
_SCOPE: Schema = {"type": "string", "enum": list(SCOPES)}
_KEY_FIELDS: dict[str, Schema] = {
    "id": TEXT, "object": _const("key"), "name": TEXT, "scopes": array(_SCOPE),
    "state": {"type": "string", "enum": ["active", "expired", "revoked"]},
    "created": TEXT, "expires": optional(TEXT), "limits": {"type": "object"},
}  # fmt: skip

COMPONENTS: Final[dict[str, Schema]] = {
    "JsonSchema": {
        "description": "A JSON Schema.",
        "type": "object",
        "properties": {
            "type": {
                "type": "string",
                "enum": ["array", "boolean", "integer", "null", "number", "object", "string"],
            }
        },
    },
    "ChatRequest": record(
        {"messages": {"anyOf": [FILLED, array(MESSAGE, 1)]}}, CHAT_FIELDS
    ),
    "CompletionRequest": record(
        {}, {**SAMPLING, **PENALTIES, "model": FILLED, "prompt": _PROMPT, "echo": FLAG,
             "logprobs": number(0, 5, "integer"), "max_tokens": number(0, kind="integer"),
             "suffix": TEXT},
    ),
    "EditRequest": record(
        {"instruction": FILLED},
        {**SAMPLING, "model": FILLED, "input": TEXT, "max_tokens": number(1, kind="integer")},
    ),
    "AnswerRequest": record(
        {"question": FILLED},
        {**SAMPLING, "model": FILLED, "examples_context": TEXT,
         "documents": array({"anyOf": [TEXT, {"type": "object"}]}, 0, 200),
         "examples": array(array(TEXT, 2, 2), 0, 200),
         "max_tokens": number(1, kind="integer")},
    ),
    "EmbeddingRequest": record(
        {"model": FILLED, "input": _INPUT},
        {"dimensions": number(1, kind="integer"), "encoding_format": FILLED, "user": TEXT},
    ),
    "ModerationRequest": record(
        {
            "input": {
                "anyOf": [
                    TEXT, array(TEXT, 1, 2048), array(_SCORED, 1), array(_PICTURE, 1, 1),
                ]
            }
        },
        {"model": FILLED},
    ),
    "Prompt": record(
        {"prompt": FILLED},
        {"title": {"type": "string", "maxLength": 200}, "model": TEXT, "autocontinue": _TRUTH},
    ),
    "FollowUp": record(
        {"prompt": FILLED}, {"parent_id": TEXT, "model": TEXT, "autocontinue": _TRUTH}
    ),
    "SessionRequest": record(
        {}, {"model": TEXT, "messages": array(_KEPT_MESSAGE, 0, 1000),
             "completion": record({}, {**SAMPLING, "max_tokens": number(1, kind="integer")})},
    ),
    "SessionMessage": record(
        {"message": {"anyOf": [FILLED, record({"role": _const("user"), "content": _KEPT},
                                              {"name": TEXT})]}},
    ),
    "KeyRequest": record(
        {"name": {**FILLED, "maxLength": 100}, "scopes": array(_SCOPE, 1)},
        {"expires": {"type": "string", "pattern": "^[1-9][0-9]{0,2}[smhdwy]$",
                     "description": "A span (30d, 12h); a date (2027-01-31) is taken too."},
         "limits": record({}, dict.fromkeys(Limits.__struct_fields__, number(0, 10**15, "integer")),
                          additionalProperties=False)},
        additionalProperties=False,
    ),
    "Key": record(_KEY_FIELDS),
    "KeyMade": record(_KEY_FIELDS, {"key": TEXT}),
    "Keys": record({"object": TEXT, "data": {"type": "array", "items": _ref("Key")}}),
    "Error": _ERROR,
    "Completion": record(
        {}, {"id": TEXT, "object": TEXT, "created": {"type": "number"}, "model": TEXT,
             "choices": {"type": "array", "items": {"type": "object"}}, "usage": _USAGE},
    ),
    "Document": {"type": "object"},
    "List": record({"object": TEXT, "data": {"type": "array", "items": {"type": "object"}}}),
    "Turn": _TURN,
    "TurnResponse": record({"response": _ref("Turn")}),
    "Turns": {"type": "array", "items": _ref("Turn")},
    "Conversations": {
        "type": "array",
        "items": record(
            {"id": TEXT, "title": TEXT, "create_time": {"type": "string", "format": "date-time"},
             "update_time": {"type": "string", "format": "date-time"},
             "mapping": {"type": "null"}, "current_node": optional(TEXT)}
        ),
    },
    "Session": _SESSION,
    "Deleted": record({"id": TEXT, "object": TEXT, "deleted": FLAG}),
}  # fmt: skip

BODIES: Final = {
    "createChatCompletion": "ChatRequest",
    "createCompletion": "CompletionRequest",
    "createEdit": "EditRequest",
    "createAnswer": "AnswerRequest",
    "createEmbedding": "EmbeddingRequest",
    "createModeration": "ModerationRequest",
    "startConversation": "Prompt",
    "ask": "FollowUp",
    "createSession": "SessionRequest",
    "createChatSession": "SessionRequest",
    "putChatSession": "SessionRequest",
    "addMessage": "SessionMessage",
    "addChatMessage": "SessionMessage",
    "createKey": "KeyRequest",
}
"""By the operation: what its body holds."""

OPEN: Final = frozenset({"health", "ready", "metrics"})
"""Operations that need no key."""

PARAMETERS: Final[dict[str, Schema]] = {
    "days": {"type": "integer", "minimum": 1, "maximum": 400, "default": 1},
}


def _answers(kind: str, schema: str, *, status: int = 200, fails: bool = True) -> Schema:
    content: Schema = {} if not kind else {kind: {"schema": _ref(schema)}}
    if kind == "both":
        content = {"application/json": {"schema": _ref(schema)},
                   "text/event-stream": {}}  # fmt: skip
    good: Schema = {"description": "Done."}
    found: Schema = {str(status): {**good, "content": content} if content else good}
    if fails:
        error = {"application/json": {"schema": _ref("Error")}}
        for code in (400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 502, 503, 504):
            found[str(code)] = {"description": "See the error's message.", "content": error}
    return found


_JSON = "application/json"
RESPONSES: Final[dict[str, Schema]] = {
    "createChatCompletion": _answers("both", "Completion"),
    "createCompletion": _answers("both", "Completion"),
    "createEdit": _answers(_JSON, "Completion"),
    "createAnswer": _answers(_JSON, "Document"),
    "createEmbedding": _answers(_JSON, "List"),
    "createModeration": _answers(_JSON, "Document"),
    "listModels": _answers(_JSON, "List"),
    "retrieveModel": _answers(_JSON, "Document"),
    "listEngines": _answers(_JSON, "List"),
    "listConversations": _answers(_JSON, "Conversations"),
    "startConversation": _answers(_JSON, "TurnResponse", status=201),
    "ask": _answers(_JSON, "TurnResponse", status=201),
    "listMessages": _answers(_JSON, "Turns"),
    "deleteConversations": _answers("", "", status=204),
    "deleteConversation": _answers("", "", status=204),
    "createSession": _answers(_JSON, "Session"),
    "addMessage": _answers(_JSON, "Document"),
    "retrieveSession": _answers(_JSON, "Session"),
    "deleteSession": _answers(_JSON, "Deleted"),
    "createChatSession": _answers(_JSON, "Session"),
    "putChatSession": _answers(_JSON, "Session"),
    "addChatMessage": _answers(_JSON, "Document"),
    "retrieveChatSession": _answers(_JSON, "Session"),
    "deleteChatSession": _answers(_JSON, "Deleted"),
    "health": _answers(_JSON, "Document", fails=False),
    "ready": {**_answers(_JSON, "Document", fails=False),
              "503": {"description": "Something is missing.",
                      "content": {_JSON: {"schema": _ref("Document")}}}},
    "metrics": _answers("text/plain", "Text", fails=False),
    "usage": _answers(_JSON, "Document"),
    "listKeys": _answers(_JSON, "Keys"),
    "createKey": _answers(_JSON, "KeyMade", status=201),
    "revokeKey": _answers(_JSON, "Document"),
}  # fmt: skip
COMPONENTS["Text"] = TEXT
