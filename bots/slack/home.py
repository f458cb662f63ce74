"""The App Home: its Home tab, and the prompts of its Messages tab. Pure.

https://docs.slack.dev/surfaces/app-home
"""

from __future__ import annotations

from typing import Any, Final

HELP: Final = """\
*Ask me* in a direct message, by mentioning me in a channel, or with _Ask talkwarden_ in a \
message's menu. I answer in a thread and remember what is said there.

*Commands*, after my name or after `/talkwarden`:
• `help` what I can do
• `reset` forget this conversation
• `stop` stop writing
• `model` see or change the model
• `persona` see or change how I behave
• `usage` what you have used"""

PROMPTS: Final = [
    {"title": "Summarise a text", "message": "Summarise this in five points: "},
    {"title": "Draft a message", "message": "Draft a friendly message that says: "},
    {"title": "Explain something", "message": "Explain in plain words: "},
    {"title": "What can you do?", "message": "help"},
]
_SECTION: Final = 3000


def view(usage: str) -> dict[str, Any]:
    """The Home tab, with a member's own usage in mrkdwn."""
    return {
        "type": "home",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "talkwarden"}},
            _section(HELP),
            {"type": "divider"},
            {"type": "header", "text": {"type": "plain_text", "text": "Your usage"}},
            _section(usage.strip() or "Nothing yet."),
        ],
    }


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_SECTION]}}
