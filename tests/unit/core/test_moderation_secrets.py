"""Secrets: every kind is found with its exact span, and nothing else is."""

from __future__ import annotations

import hashlib
import random
import string
import sysconfig
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from core.moderation.secret_kinds import KINDS
from core.moderation.secrets import SecretSet, scanner

ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
BASE64 = ALNUM + "+/"
HEX = "0123456789abcdef"

_random = random.Random(20261121)


def of(alphabet: str, length: int) -> str:
    """So many random characters."""
    return "".join(_random.choices(alphabet, k=length))


MAKERS: dict[str, Callable[[], str]] = {
    "openai": lambda: f"sk-{of(ALNUM, 20)}T3BlbkFJ{of(ALNUM, 20)}",
    "openai plain": lambda: f"sk-{of(ALNUM, 48)}",
    "openai project": lambda: f"sk-proj-{of(URLSAFE, 120)}a",
    "openai service": lambda: f"sk-svcacct-{of(URLSAFE, 60)}a",
    "anthropic": lambda: f"sk-ant-api03-{of(URLSAFE, 93)}AA",
    "openrouter": lambda: f"sk-or-v1-{of(HEX, 64)}",
    "hugging face": lambda: f"hf_{of(string.ascii_letters, 34)}",
    "groq": lambda: f"gsk_{of(ALNUM, 52)}",
    "xai": lambda: f"xai-{of(ALNUM, 80)}",
    "replicate": lambda: f"r8_{of(ALNUM, 37)}",
    "aws": lambda: f"{_random.choice(['AKIA', 'ASIA'])}{of(string.ascii_uppercase + '234567', 16)}",
    "google": lambda: f"AIza{of(URLSAFE, 34)}a",
    "google oauth": lambda: f"ya29.{of(URLSAFE, 80)}a",
    "google secret": lambda: f"GOCSPX-{of(URLSAFE, 27)}a",
    "azure secret": lambda: f"{of(ALNUM, 3)}8Q~{of(ALNUM, 34)}",
    "azure storage": lambda: f"{of(BASE64, 75)}/+ASt{of(ALNUM, 6)}==",
    "digitalocean": lambda: f"dop_v1_{of(HEX, 64)}",
    "databricks": lambda: f"dapi{of(HEX, 32)}",
    "vault": lambda: f"hvs.{of(URLSAFE, 90)}a",
    "github": lambda: f"gh{_random.choice('pousr')}_{of(ALNUM, 36)}",
    "github fine": lambda: f"github_pat_{of(ALNUM, 22)}_{of(ALNUM, 59)}",
    "gitlab": lambda: f"glpat-{of(URLSAFE, 19)}a",
    "npm": lambda: f"npm_{of(ALNUM, 36)}",
    "pypi": lambda: f"pypi-AgEIcHlwaS5vcmc{of(URLSAFE, 120)}a",
    "docker": lambda: f"dckr_pat_{of(URLSAFE, 26)}a",
    "slack bot": lambda: f"xoxb-{of('123456789', 12)}-{of('123456789', 13)}-{of(ALNUM, 24)}",
    "slack user": lambda: f"xoxp-{of('123456789', 12)}-{of('123456789', 12)}-{of(HEX, 32)}",
    "slack refresh": lambda: f"xoxe.xoxp-1-{of(ALNUM, 160)}",
    "slack app": lambda: f"xapp-1-A{of(ALNUM, 10)}-{of('123456789', 13)}-{of(HEX, 64)}",
    "discord": lambda: f"M{of(ALNUM, 25)}.{of(URLSAFE, 6)}.{of(URLSAFE, 37)}a",
    "telegram": lambda: f"{of('123456789', 10)}:AA{of(URLSAFE, 32)}a",
    "sendgrid": lambda: f"SG.{of(URLSAFE, 22)}.{of(URLSAFE, 42)}a",
    "mailgun": lambda: f"key-{of(HEX, 32)}",
    "mailchimp": lambda: f"{of(HEX, 32)}-us{_random.randrange(1, 22)}",
    "twilio": lambda: f"SK{of(HEX, 32)}",
    "stripe": lambda: f"{_random.choice(['sk', 'rk'])}_live_{of(ALNUM, 24)}",
    "square": lambda: f"sq0atp-{of(URLSAFE, 21)}a",
    "square new": lambda: f"EAAA{of(URLSAFE, 59)}a",
    "shopify": lambda: f"shpat_{of(HEX, 32)}",
    "linear": lambda: f"lin_api_{of(ALNUM, 40)}",
    "notion": lambda: f"secret_{of(ALNUM, 43)}",
    "notion new": lambda: f"ntn_{of(ALNUM, 46)}",
    "airtable": lambda: f"pat{of(ALNUM, 14)}.{of(HEX, 64)}",
    "jwt": lambda: f"eyJ{of(URLSAFE, 33)}.eyJ{of(URLSAFE, 60)}.{of(URLSAFE, 42)}a",
}
SETTINGS = (
    "{}",
    "my key is {}, don't tell",
    "export TOKEN={}",
    '"token": "{}",',
    "curl -H 'Authorization: Bearer {}' localhost",
    "`{}`.",
    "ключ {} ключ",
)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_token_of_this_kind_is_found_exactly(kind: str) -> None:
    """Whatever stands around it, the span is the token, no more and no less."""
    for number in range(100):
        token = MAKERS[kind]()
        text = SETTINGS[number % len(SETTINGS)].format(token)
        spans = [(start, end) for start, end, _ in scanner()(text)]
        assert [text[start:end] for start, end in spans] == [token], text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("aws_secret_access_key = {}", lambda: of(BASE64, 40)),
        ('"SecretAccessKey": "{}"', lambda: of(BASE64, 40)),
        ("AccountName=x;AccountKey={};EndpointSuffix=core", lambda: f"{of(BASE64, 86)}=="),
        ("postgresql://app:{}@db.internal:5432/app", lambda: of(ALNUM, 12)),
        ("mongodb+srv://app:{}@cluster0.example.net", lambda: of(ALNUM, 16)),
        ("redis://:{}@cache:6379/0", lambda: of(ALNUM, 20)),
        ("mysql://root:{}@10.0.0.5/x", lambda: of(ALNUM, 8)),
        ("https://api.telegram.org/bot{}/getMe", MAKERS["telegram"]),
    ],
)
def test_a_secret_without_a_format_is_found_by_its_place(
    text: str, secret: Callable[[], str]
) -> None:
    """Keys of plain base64 and passwords in addresses are known by what stands before them."""
    for _ in range(50):
        value = secret()
        written = text.format(value)
        assert [written[start:end] for start, end, _ in scanner()(written)] == [value]


@pytest.mark.parametrize(
    "address",
    [
        "hooks.slack.com/services/T0{a}/B0{a}/{b}",
        "discord.com/api/webhooks/123456789012345678/{b}{b}{b}",
        "discordapp.com/api/v10/webhooks/123456789012345678/{b}{b}{b}",
    ],
)
def test_a_webhook_s_address_is_a_secret(address: str) -> None:
    """Whoever has it can post."""
    secret = address.format(a=of(string.ascii_uppercase, 8), b=of(ALNUM, 24))
    text = f"post to https://{secret} please"

    assert [text[start:end] for start, end, _ in scanner()(text)] == [secret]


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "PGP "])
def test_a_private_key_is_found_whole(kind: str) -> None:
    """From its first dash to its last, also where its end was cut off."""
    block = " BLOCK" if kind == "PGP " else ""
    body = "\n".join(of(BASE64, 64) for _ in range(8))
    head = f"-----BEGIN {kind}PRIVATE KEY{block}-----\n{body}"
    whole = f"{head}\n-----END {kind}PRIVATE KEY{block}-----"

    for text, secret in (
        (f"here:\n{whole}\nthanks", whole),
        (f"here:\n{head}\nthanks a lot", head),
        (f"a {whole} b {whole} c", whole),
    ):
        found = [text[start:end] for start, end, _ in scanner()(text)]
        assert set(found) == {secret}
        assert len(found) == text.count(secret)


@pytest.mark.parametrize(
    "text",
    [
        "xoxb-your-token-here",
        "export OPENAI_API_KEY=sk-...",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "postgresql://user:password@localhost/db",
        "postgresql://scott:tiger@localhost/test",
        "redis://:<password>@host and https://user:${TOKEN}@host/x",
        "amqp://guest:guest@localhost//",
        "https://host:8080/a@b",
        "some_quite_long_module_name.submod.another_rather_long_function_name_here",
        "integrity sha512-" + "aB3/" * 21 + "Zz==",
        "1234567890:this is no token at all, is it now",
        "aws_secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']",
    ],
)
def test_what_only_looks_like_a_secret_is_let_through(text: str) -> None:
    """Placeholders of documentation, code and checksums."""
    assert scanner()(text) == []


def technical_lines(wanted: int) -> Iterator[str]:
    """Lines of code and documentation: the standard library's own."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(folder.glob("[a-z]*.py")) + sorted(folder.glob("[a-z]*/*.py"))
    lines = (line for file in files for line in file.read_text("utf-8", "replace").splitlines())
    for count, line in enumerate(filter(str.strip, lines)):
        if count == wanted:
            return
        yield line


def test_technical_text_holds_no_secret() -> None:
    """Not one hit in 10,000 lines of code and documentation, 800 hashes and identifiers."""
    source = random.Random(7)
    hashes = [
        each
        for _ in range(200)
        for each in (
            hashlib.sha256(source.randbytes(8)).hexdigest(),
            hashlib.sha1(source.randbytes(8)).hexdigest(),
            hashlib.md5(source.randbytes(8)).hexdigest(),
            str(uuid.UUID(bytes=source.randbytes(16), version=4)),
        )
    ]
    lines = list(technical_lines(10_000))
    assert len(lines) == 10_000

    assert [line for line in (*lines, *hashes) if scanner()(line)] == []


def test_overlapping_kinds_are_one_finding_for_each_rule() -> None:
    """Two rules may ask for secrets; each is told once, and in order."""
    text = f"postgresql://app:{MAKERS['github']()}@db/x and {MAKERS['stripe']()}"

    found = list(SecretSet([3, 5]).find(text))

    assert [rule for _, _, rule in found] == [3, 5, 3, 5]
    assert found == sorted(found)


def test_every_kind_has_its_own_token_here_or_a_distinct_expression() -> None:
    """No expression is listed twice, and none matches an empty text."""
    expressions = [kind.pattern for kind in KINDS]

    assert len(set(expressions)) == len(expressions)
    assert len({kind.name for kind in KINDS}) >= 60


@pytest.mark.parametrize(
    "units",
    [
        ("-----BEGIN PRIVATE KEY-----\n",),
        ("eyJabcdefgh.iA9jklmnop.qrstuvwxy.",),
        ("http://a:bcdeF9@c ",),
        ("aws secret key ",),
        ("ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5 ",),
        ("A+/b",),
        ("b.a.d.", "d", "."),
        ("M", "-", "a"),
        ("a://", "a:", "b"),
    ],
)
def test_a_text_made_to_be_slow_is_not(units: tuple[str, ...]) -> None:
    """40,000 characters cost milliseconds, and what exceeds the bound of matches is one span."""
    text = "".join(Random(1).choices(units, k=40_000))[:40_000]
    scanner()(text)
    began = time.perf_counter()

    found = scanner()(text)

    assert time.perf_counter() - began < 0.05
    assert all(0 <= start < end <= len(text) for start, end, _ in found)


def test_a_lone_surrogate_moves_no_span() -> None:
    """Texts that UTF-8 can't express are scanned like all others."""
    token = MAKERS["npm"]()
    text = f"\ud800 ж {token} \udfff"

    assert [text[start:end] for start, end, _ in scanner()(text)] == [token]
