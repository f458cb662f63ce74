"""Files that people attach: what of them reaches the model, and what it is told instead."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject
from scenario.harness import text_of, world

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def pdf(text: str) -> bytes:
    """A page that says this."""
    import io

    writer = PdfWriter()
    page = writer.add_blank_page(200, 200)
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): font})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    content = DecodedStreamObject()
    content.set_data(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())
    page[NameObject("/Contents")] = writer._add_object(content)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


async def seen(*files: tuple[str, bytes], **settings: Any) -> dict[str, Any]:
    """The question as the model got it."""
    async with world(settings=settings) as w:
        await w.ask("what is this?", attachments=files)
        message: dict[str, Any] = w.prompt[1]
        return message


async def test_an_image_reaches_the_model() -> None:
    """A picture is sent as a data URL of its own type."""
    content = (await seen(("dot.png", PNG)))["content"]
    (image,) = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert image == "data:image/png;base64," + base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (("notes.txt", b"high tide at noon"), "high tide at noon"),
        (("code.py", b"print('tide')"), "print('tide')"),
        (("tides.pdf", pdf("low tide at six")), "low tide at six"),
    ],
)
async def test_a_text_reaches_the_model(file: tuple[str, bytes], expected: str) -> None:
    """The text of text files and PDFs is part of the question, under the file's name."""
    text = text_of(await seen(file))
    assert expected in text
    assert file[0] in text
    assert "what is this?" in text


async def test_a_model_without_vision_gets_a_note() -> None:
    """No image goes to a model that reads none; it is told that there was one."""
    message = await seen(("dot.png", PNG), **{"model.vision": False})
    assert "image_url" not in str(message)
    assert "dot.png" in text_of(message)


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        (("big.txt", b"x" * 2000), {"attachments.max_bytes": 1000}),
        (("song.mp3", b"ID3" + bytes(50)), {}),
        (("fake.png", b"MZ not a picture"), {}),
        (("broken.pdf", b"%PDF-1.4 and no more"), {}),
        (("binary.txt", bytes(range(256))), {}),
    ],
)
async def test_a_file_that_can_not_be_read_is_named(
    file: tuple[str, bytes], settings: dict[str, Any]
) -> None:
    """Too large, of another type, or not what it says: the model is told, the question answered."""
    message = await seen(file, **settings)
    assert "image_url" not in str(message)
    assert file[0] in text_of(message)
    assert "xxxx" not in text_of(message)


async def test_only_so_many_files_are_read() -> None:
    """Files beyond the limit are not downloaded."""
    files = [(f"note{number}.txt", f"number {number}".encode()) for number in range(4)]
    text = text_of(await seen(*files, **{"attachments.max_files": 2}))
    assert "number 1" in text
    assert "number 3" not in text


async def test_a_long_file_is_cut_and_says_so() -> None:
    """Of a long text the beginning is given."""
    text = text_of(await seen(("long.txt", b"tide " * 1000), **{"attachments.max_text": 100}))
    assert text.count("tide ") <= 25


async def test_a_picture_stays_in_the_conversation() -> None:
    """The next question still carries the picture, and no file is downloaded twice."""
    async with world() as w:
        dm = w.discord.dm("bob")
        await w.answer(await w.discord.say(dm, "bob", "look", attachments=[("dot.png", PNG)]))
        await w.answer(await w.discord.say(dm, "bob", "and what colour?"))
        assert "image_url" in str(w.prompt)


async def test_the_file_of_a_message_that_is_replied_to() -> None:
    """Calling the bot in a reply to somebody's picture shows it the picture, once."""
    async with world(settings={"discord.profile": "moderator"}) as w:
        for place in ("general", await w.discord.create_thread("general", "pictures")):
            shown = await w.discord.say(place, "bob", "mine", attachments=[("dot.png", PNG)])
            answer = await w.answer(await w.say("what is it?", channel=place, reply_to=shown))
            assert str(w.prompt).count("data:image/png") == 1
            assert "Bob: mine" in str(w.prompt)
            further = await w.discord.say(place, "bob", "and that?", reply_to=answer.id)
            await w.answer(further)
            assert str(w.prompt).count("data:image/png") == 1


async def test_the_file_of_an_answered_question_is_not_read_twice() -> None:
    """A reply to a question with a picture finds the picture in the history."""
    async with world(settings={"discord.profile": "moderator"}) as w:
        question = await w.say("what is it?", attachments=[("dot.png", PNG)])
        await w.answer(question)
        await w.answer(await w.say("look closer", reply_to=question))
        assert str(w.prompt).count("data:image/png") == 1
