"""The README against the program; `python tests/unit/bots/test_readme.py` renews its table."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec

from core import config, config_schema
from core.commands import NAMES
from core.config import CONVENTIONAL
from core.config_schema import Config

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
BEGIN, END = "<!-- configuration: generated -->\n", "<!-- end of configuration -->\n"
ELEMENTS = {
    "model.fallbacks": "FallbackConfig",
    "moderation.rules": "RuleConfig",
    "tools.servers": "ToolServerConfig",
    "usage.prices": "Price",
    "workspaces": "Override",
    "channels": "Override",
}
"""Tables by name or number, and what each of their entries is."""


def docstrings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The sentence behind each field of a struct, inherited ones included."""
    fields: dict[str, str] = {}
    for base in kind.__mro__[: kind.__mro__.index(msgspec.Struct)]:
        (found,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(found, ast.ClassDef)
        for field, after in zip(found.body, found.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                assert isinstance(field.target, ast.Name)
                assert isinstance(after.value, ast.Constant)
                fields[field.target.id] = " ".join(str(after.value.value).split())
    return fields


def is_section(kind: object) -> bool:
    """A struct: a table of the file."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def default(kind: type[msgspec.Struct], name: str) -> str:
    """The default as it is written in the file."""
    field = next(each for each in msgspec.structs.fields(kind) if each.name == name)
    value = field.default if field.default is not msgspec.NODEFAULT else None
    if name == "persona" and value:
        return "a short one"
    if value in (None, "", (), {}, frozenset()) or field.default_factory is not msgspec.NODEFAULT:
        return ""
    written = msgspec.json.encode(value).decode()
    if isinstance(value, msgspec.Struct):
        return "" if written == "{}" else "see its table"
    return f"`{written}`"


def rows(title: str, kind: type[msgspec.Struct]) -> Iterator[str]:
    """A table row for each key of a section."""
    sentences = docstrings(kind)
    yield f"| **{title}** | | {(kind.__doc__ or '').splitlines()[0].replace('|', '/')} |"
    for name in typing.get_type_hints(kind):
        sentence = sentences.get(name, "")
        yield f"| `{name}` | {default(kind, name)} | {sentence.replace('|', '/')} |"


def table() -> str:
    """The configuration as a Markdown table."""
    lines = ["| Key | Default | What it does |", "|---|---|---|"]
    hints = typing.get_type_hints(Config)
    for section, kind in hints.items():
        if is_section(kind):
            lines += rows(f"[{section}]", kind)
            for path, element in ELEMENTS.items():
                if path.startswith(f"{section}."):
                    is_list = typing.get_origin(
                        typing.get_type_hints(kind)[path[len(section) + 1 :]]
                    )
                    title = f"[[{path}]]" if is_list is tuple else f"[{path}.NAME]"
                    lines += rows(title, getattr(config, element))
    lines += rows("[workspaces.ID] and [channels.ID]", config_schema.Override)
    return "\n".join(lines) + "\n"


def test_the_table_is_the_schema() -> None:
    """Every key stands in the README with its default and its meaning."""
    text = README.read_text("utf-8")

    assert text.partition(BEGIN)[2].partition(END)[0] == table()


def test_the_quick_start_is_two_commands() -> None:
    """The two commands that work on a machine with nothing but Python."""
    lines = README.read_text("utf-8").splitlines()

    assert "pip install uv && uv run talkwarden demo" in lines
    assert "pip install uv && uv run pytest" in lines


def test_variables_and_commands_are_told() -> None:
    """Each conventional variable, and each command of the chat."""
    text = README.read_text("utf-8")

    assert [name for name in CONVENTIONAL if f"`{name}`" not in text] == []
    assert [name for name in NAMES if f"`{name}`" not in text] == []


def test_links_lead_somewhere() -> None:
    """Files and headings that the README links to are there."""
    text = README.read_text("utf-8")
    anchors = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif not target.startswith("https://"):
            assert (ROOT / target).exists(), target


def test_deploy_files_name_what_exists() -> None:
    """The files for containers and systemd start the command that there is."""
    unit = (ROOT / "deploy" / "talkwarden.service").read_text()
    image = (ROOT / "deploy" / "Containerfile").read_text()

    assert re.search(r"^ExecStart=\S+/talkwarden run", unit, re.MULTILINE)
    assert 'ENTRYPOINT ["talkwarden"]' in image
    for name in ("compose.yaml", "compose.postgres.yaml"):
        assert "Containerfile" in (ROOT / "deploy" / name).read_text()


if __name__ == "__main__":
    old = README.read_text("utf-8")
    head, _, rest = old.partition(BEGIN)
    README.write_text(head + BEGIN + table() + END + rest.partition(END)[2], "utf-8")
