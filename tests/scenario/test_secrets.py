"""Secrets that members paste: neither the model nor what is kept has them."""

from __future__ import annotations

import pytest
from scenario.harness import Options, World
from scenario.slack_side import ALICE, ROOM, answer, ask, slack_world

TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"
EDITED = "sk-ant-api03-" + "Ab3_dE5gH7-" * 8 + "K9mN1" + "AA"
MASK = "█" * 4
RULE = 'id = "keys"\nsecrets = true\naction = "redact"\n'
WAYS = {
    "configuration": {"talkwarden.toml": f"[[moderation.rules]]\n{RULE}"},
    "policy": {
        "talkwarden.toml": '[moderation]\nfile = "{folder}/policy.toml"\n',
        "policy.toml": f"[[rules]]\n{RULE}",
    },
}


def kept(w: World) -> str:
    """All rows of all tables."""
    tables = w.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    return str([w.rows(f'SELECT * FROM "{name}"') for (name,) in tables])


@pytest.mark.parametrize("way", WAYS)
async def test_a_secret_reaches_neither_model_nor_history(way: str) -> None:
    """Asked for in either file: masked in a question, in what is said around it, in an edit; no
    table keeps it once the messages are answered."""
    async with slack_world(model=Options(mode="echo"), is_started=False) as w:
        for name, text in WAYS[way].items():
            (w.folder / name).write_text(text.replace("{folder}", str(w.folder)))
        await w.start()
        question = await w.say_slack(f"why does {TOKEN} not work?")
        found = await answer(w, question)
        await w.slack.say(ROOM, ALICE, f"it was {TOKEN}, sorry", thread_ts=question)
        await w.idle()
        await w.slack.edit(ROOM, question, f"<@{w.slack.bot_user_id}> why does {EDITED} fail?")
        await w.idle()
        await ask(w, "so?", thread_ts=question)
        await w.idle()

        assert MASK in found.displayed
        assert len([each for each in w.prompt if MASK in str(each["content"])]) >= 2
        sent = str(w.requests())
        assert "why does" in sent
        for secret in (TOKEN, EDITED):
            assert secret not in sent
            assert secret not in kept(w)
