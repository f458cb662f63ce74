"""The agent surface, App Home, modals and files.

https://docs.slack.dev/reference/methods/assistant.threads.setStatus
https://docs.slack.dev/reference/methods/agents.sessions.setStatus
"""

from __future__ import annotations

import time
from typing import Any

from bots.simulators.slack.clock import now
from bots.simulators.slack.errors import ApiError
from bots.simulators.slack.methods import Params, Result, method, required, structured
from bots.simulators.slack.methods_stream import SESSION_STATUSES
from bots.simulators.slack.payloads import unique_id
from bots.simulators.slack.workspace import HostedFile, Status, Workspace

LOADING_MESSAGES = 10
LOADING_MESSAGE_LENGTH = 50
PROMPTS = 4
TITLE_LENGTH = 200


def _invalid(message: str) -> ApiError:
    return ApiError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {message}"]})


def _agent_only(workspace: Workspace) -> None:
    if not workspace.options.agent_app:
        raise ApiError("not_agent_app")


@method("assistant.threads.setStatus", tier=5, scope="chat:write")
def set_status(workspace: Workspace, params: Params) -> Result:
    """Show "is working" under a thread; an empty status clears it."""
    channel = workspace.writable(required(params, "channel_id"))
    thread_ts = required(params, "thread_ts")
    if "status" not in params:
        raise _invalid("missing required field: status")
    loading = structured(params, "loading_messages") or []
    if len(loading) > LOADING_MESSAGES:
        raise _invalid("too many loading_messages")
    if any(not 0 < len(text) <= LOADING_MESSAGE_LENGTH for text in loading):
        raise _invalid("loading_messages must have 1 to 50 characters")
    status = Status(channel.id, thread_ts, str(params["status"]), loading, now())
    workspace.statuses.append(status)
    workspace.changes.notify()
    return {}


@method("assistant.threads.setSuggestedPrompts", tier=4, scope="assistant:write")
def set_suggested_prompts(workspace: Workspace, params: Params) -> Result:
    """Offer prompts in the Messages tab."""
    _agent_only(workspace)
    channel = workspace.writable(required(params, "channel_id"))
    prompts = structured(params, "prompts")
    if not isinstance(prompts, list) or not 0 < len(prompts) <= PROMPTS:
        raise _invalid("prompts must have 1 to 4 entries")
    if any(not prompt.get("title") or not prompt.get("message") for prompt in prompts):
        raise _invalid("a prompt needs title and message")
    workspace.prompts[channel.id] = {"title": params.get("title", ""), "prompts": prompts}
    workspace.changes.notify()
    return {}


@method("assistant.threads.setTitle", tier=4, scope="assistant:write")
def set_title(workspace: Workspace, params: Params) -> Result:
    """Name a thread of the Messages tab."""
    _agent_only(workspace)
    channel = workspace.writable(required(params, "channel_id"))
    workspace.titles[channel.id, required(params, "thread_ts")] = required(params, "title")
    workspace.changes.notify()
    return {}


@method("agents.sessions.setStatus", tier=3, scope="chat:write")
def set_session_status(workspace: Workspace, params: Params) -> Result:
    """Move an agent session to a status, creating it first when needed."""
    _agent_only(workspace)
    if not workspace.options.agent_sessions:
        raise ApiError("feature_disabled")
    channel = workspace.directory.find(required(params, "channel_id"))
    if not channel.bot_is_member:
        raise ApiError("not_authorized")
    status = required(params, "status")
    if status not in SESSION_STATUSES:
        raise ApiError("invalid_status")
    if not params.get("thread_ts"):
        raise ApiError("thread_ts_required")
    title = str(params.get("title") or "")
    if len(title) > TITLE_LENGTH:
        raise _invalid("title is longer than 200 characters")
    key = (channel.id, str(params["thread_ts"]))
    created = key not in workspace.sessions
    session = workspace.session(*key)
    if created:
        session.title = title
    session.move(status)
    workspace.changes.notify()
    return {"status": status, "agent_status": status, "title": session.title}


@method("agents.sessions.rename", tier=3, scope="chat:write")
def rename_session(workspace: Workspace, params: Params) -> Result:
    """Rename an agent session."""
    _agent_only(workspace)
    if not workspace.options.agent_sessions:
        raise ApiError("feature_disabled")
    key = (required(params, "channel_id"), params.get("thread_ts"))
    if key not in workspace.sessions:
        raise ApiError("session_not_found")
    workspace.sessions[key].title = required(params, "title")[:TITLE_LENGTH]
    workspace.changes.notify()
    return {"title": workspace.sessions[key].title}


def _view(params: Params, kind: str) -> dict[str, Any]:
    view = structured(params, "view")
    if not isinstance(view, dict) or view.get("type") != kind:
        raise _invalid(f"view must be of type {kind}")
    if len(view.get("blocks", ())) > 100:
        raise _invalid("no more than 100 blocks in a view")
    return {**view, "id": unique_id("V"), "hash": f"{time.time():.6f}", "state": {"values": {}}}


@method("views.publish", tier=4)
def views_publish(workspace: Workspace, params: Params) -> Result:
    """Show a member the app's Home tab."""
    user = workspace.directory.user(required(params, "user_id"))
    view = _view(params, "home")
    current = workspace.views.get(user.id)
    if params.get("hash") and current and params["hash"] != current["hash"]:
        raise ApiError("hash_conflict")
    workspace.views[user.id] = view
    workspace.changes.notify()
    return {"view": view}


@method("views.open", tier=4)
def views_open(workspace: Workspace, params: Params) -> Result:
    """Open a modal for whoever's gesture gave the trigger; each trigger is good once."""
    deadline = workspace.triggers.get(required(params, "trigger_id"))
    if deadline is None:
        raise ApiError("invalid_trigger_id")
    if deadline == 0.0:
        raise ApiError("exchanged_trigger_id")
    if time.monotonic() > deadline:
        raise ApiError("expired_trigger_id")
    view = _view(params, "modal")
    workspace.triggers[params["trigger_id"]] = 0.0
    workspace.modals.append(view)
    workspace.changes.notify()
    return {"view": view}


def describe_file(workspace: Workspace, file: HostedFile, *, event: bool = False) -> dict[str, Any]:
    """Return a file object; in events Slack Connect may hold back all but the id."""
    if event and file.check_info:
        return {"id": file.id, "mode": "file_access", "file_access": "check_file_info"}
    url = f"{workspace.base_url}/files/{workspace.options.team_id}-{file.id}"
    described = {"alt_txt": file.alt} if file.alt else {}
    return described | {
        "id": file.id,
        "name": file.name,
        "title": file.title or file.name,
        "mimetype": file.mimetype,
        "filetype": file.name.rpartition(".")[2].lower(),
        "size": len(file.data),
        "user": file.user,
        "mode": "hosted",
        "is_external": False,
        "file_access": "visible",
        "url_private": f"{url}/{file.name}",
        "url_private_download": f"{url}/download/{file.name}",
    }


@method("files.info", tier=4, scope="files:read")
def files_info(workspace: Workspace, params: Params) -> Result:
    """Describe a file."""
    file = workspace.files.get(required(params, "file"))
    if file is None:
        raise ApiError("file_not_found")
    return {"file": describe_file(workspace, file)}
