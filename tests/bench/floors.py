"""The floors: what a bot of fifteen lines needs, and what the SDK alone needs.

    python floors.py slack-openai | slack-sdk | discord-openai | discord-sdk

Addresses and tokens come from the environment, as for talkwarden itself. `openai` bots keep no
history, check nothing and lose what a crash interrupts; `sdk` bots post a fixed reply.
"""

from __future__ import annotations

import asyncio
import os
import sys

REPLY = "A fixed reply."


async def slack(answer) -> None:
    from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
    from slack_bolt.async_app import AsyncApp
    from slack_sdk.web.async_client import AsyncWebClient

    client = AsyncWebClient(
        token=os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"]
    )
    app = AsyncApp(client=client)

    @app.event("app_mention")
    async def mentioned(event, say) -> None:
        await say(text=await answer(event["text"]), thread_ts=event["ts"])

    @app.event("message")
    async def other() -> None: ...

    await AsyncSocketModeHandler(app, os.environ["SLACK_APP_TOKEN"]).start_async()


async def discord_bot(answer) -> None:
    import discord
    import yarl

    discord.http.Route.BASE = os.environ["DISCORD_API_URL"]
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORD_GATEWAY_URL"])
    client = discord.Client(intents=discord.Intents.default())

    @client.event
    async def on_message(message) -> None:
        if client.user in message.mentions:
            await message.reply(await answer(message.content))

    async with client:
        await client.start(os.environ["DISCORD_TOKEN"])


async def main(kind: str) -> None:
    platform, _, model = kind.partition("-")

    async def fixed(text: str) -> str:
        return REPLY

    answer = fixed
    if model == "openai":
        import openai

        endpoint = openai.AsyncOpenAI()

        async def answer(text: str) -> str:
            stream = await endpoint.chat.completions.create(
                model="offline", messages=[{"role": "user", "content": text}], stream=True
            )
            pieces = [c.choices[0].delta.content or "" async for c in stream if c.choices]
            return "".join(pieces)

    await (slack if platform == "slack" else discord_bot)(answer)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
