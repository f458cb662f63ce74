"""The formats of secrets: a name for people, RE2's expression, and what it has to pass besides.

Where an expression has a group, the group is the secret and the rest its context. Prefixes are
from the makers' own documentation; lengths are taken loosely, since makers change them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_PLACEHOLDERS = frozenset(
    {
        *("admin", "bar", "baz", "changeme", "example", "foo", "guest", "hidden", "hunter2"),
        *("key", "login", "mypass", "name", "none", "null", "pass", "passwd", "postgres", "pw"),
        *("pwd", "redacted", "root", "s3cret", "sa", "secret", "test", "testing", "tiger"),
        *("token", "user", "username", "xx", "xxx"),
    }
)


class Kind(NamedTuple):
    """One format; `check` is given the secret and says whether it is one."""

    name: str
    pattern: str
    check: Callable[[str], bool] | None = None
    is_block: bool = False
    """It is the beginning of a block of lines, which ends with `-----END ...-----`."""


def is_varied(secret: str) -> bool:
    """Not a row of x, as in documentation."""
    return len(set(secret)) >= 8


def is_random(secret: str) -> bool:
    """Letters of both cases, or letters and digits: no word, and no row of x either."""
    has_digit = any("0" <= each <= "9" for each in secret)
    if secret.upper() == secret.lower():
        return False
    has_both = secret not in (secret.upper(), secret.lower())
    return (has_digit or has_both) and is_varied(secret)


def is_dense(secret: str) -> bool:
    """Capitals, small letters and digits in each of the long parts between the dots."""
    return all(
        is_random(part) and any("0" <= each <= "9" for each in part)
        for part in secret.split(".")
        if len(part) >= 20
    )


def is_azure_key(secret: str) -> bool:
    """As long as 64 bytes in base64."""
    return len(secret) >= 76 and is_random(secret)


def is_password(secret: str) -> bool:
    """No placeholder such as `user`, `<password>` or `$PASS`."""
    if secret[0] in "<{$[*%(" or len(set(secret)) < 3:
        return False
    plain = secret.lower().strip("_-.'\"")
    return plain not in _PLACEHOLDERS and "password" not in plain and "..." not in plain


_W = "[A-Za-z0-9_-]"
_A = "[A-Za-z0-9]"
_START = "(?:^|[^A-Za-z0-9_-])"
"""Before what may begin with anything and is counted: `\\b` would let a text of dashes begin it at
every second character, and RE2 would keep a state for each of the ways to have done so."""
_ASSIGNED = r"""["'`]?\s{0,3}(?:=>|:=|=|:)\s{0,3}["'`]?"""

KINDS: tuple[Kind, ...] = (
    # models
    Kind("OpenAI key", rf"\bsk-(?:proj|svcacct|admin|service|None)-{_W}{{20,}}", is_random),
    Kind("OpenAI key", rf"\bsk-{_A}{{20,}}", is_random),
    Kind("Anthropic key", rf"\bsk-ant-{_W}{{20,}}", is_random),
    Kind("OpenRouter key", rf"\bsk-or-(?:v\d-)?{_A}{{32,}}", is_varied),
    Kind("Hugging Face token", rf"\b(?:hf_|api_org_){_A}{{30,}}", is_random),
    Kind("Groq key", rf"\bgsk_{_A}{{40,}}", is_random),
    Kind("xAI key", rf"\bxai-{_A}{{60,}}", is_random),
    Kind("Perplexity key", rf"\bpplx-{_A}{{40,}}", is_random),
    Kind("Replicate token", rf"\br8_{_A}{{37,}}", is_random),
    Kind("NVIDIA key", rf"\bnvapi-{_W}{{50,}}", is_random),
    Kind("ElevenLabs key", r"\bsk_[0-9a-f]{48}\b", is_varied),
    Kind("LangSmith key", r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{8,}", is_varied),
    Kind("Pinecone key", rf"\bpcsk_{_A}{{5,}}_{_A}{{40,}}", is_random),
    Kind("Tavily key", rf"\btvly-(?:dev-|prod-)?{_A}{{30,}}", is_random),
    # clouds
    Kind("AWS access key", r"\b(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|A3T[A-Z0-9])[A-Z0-9]{16}\b"),
    Kind(
        "AWS secret key",
        r"(?i)\baws.{0,20}?(?:secret|access).{0,20}?(?:key|token)"
        + _ASSIGNED
        + r"([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)",
        is_random,
    ),
    Kind(
        "AWS secret key",
        r"(?i)\bsecret_?access_?key" + _ASSIGNED + r"([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)",
        is_random,
    ),
    Kind(
        "AWS session token",
        r"(?i)\bsession_?token" + _ASSIGNED + r"([A-Za-z0-9/+]{100,}={0,2})",
        is_random,
    ),
    Kind("AWS Bedrock key", r"\bABSK[A-Za-z0-9+/]{60,}={0,2}", is_random),
    Kind("Google API key", rf"\bAIza{_W}{{35}}"),
    Kind("Google API key", rf"\bAQ\.Ab{_W}{{40,}}", is_random),
    Kind("Google OAuth token", rf"\bya29\.(?:[a-z]\.)?{_W}{{20,}}", is_random),
    Kind("Google OAuth refresh token", rf"\b1//0{_W}{{40,}}", is_random),
    Kind("Google OAuth secret", rf"\bGOCSPX-{_W}{{20,}}", is_random),
    Kind(
        "Azure key",
        r"(?i)\b(?:Account|SharedAccess|Access)Key=([A-Za-z0-9+/]{40,90}={0,2})",
        is_random,
    ),
    Kind(
        "Azure key",
        r"[A-Za-z0-9+/]*\+(?:ASt|AMC|ABa|ARm|AEh|AIoT|ACDb|AzFu|AzSe)[A-Za-z0-9+/]{5,}={0,2}",
        is_azure_key,
    ),
    Kind("Azure key", rf"\b{_A}{{52}}JQQJ9{_A}{{26,30}}\b", is_random),
    Kind("Azure client secret", r"\b[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}", is_random),
    Kind("Azure signature", r"\bsig=([A-Za-z0-9%+/]{40,}(?:%3[Dd]|=))", is_random),
    Kind("DigitalOcean token", r"\bdo[oprt]_v1_[0-9a-f]{64}", is_varied),
    Kind("Alibaba key", rf"\bLTAI{_A}{{16,26}}\b", is_random),
    Kind("Heroku token", rf"\bHRKU-{_W}{{36,}}", is_random),
    Kind("Cloudflare origin key", r"\bv1\.0-[0-9a-f]{24}-[0-9a-f]{100,}", is_varied),
    Kind("Fly.io token", r"\bfm[12][ar]?_[A-Za-z0-9+/=_-]{60,}", is_random),
    Kind("Netlify token", rf"\bnf[pcobu]_{_A}{{36,}}", is_random),
    Kind("Databricks token", r"\bdapi[0-9a-f]{32}(?:-\d)?\b", is_varied),
    Kind("Vault token", rf"\bhv[sbr]\.{_W}{{24,}}", is_random),
    Kind("Terraform token", rf"\b{_A}{{14}}\.atlasv1\.{_W}{{60,}}", is_random),
    Kind("Pulumi token", r"\bpul-[0-9a-f]{40}\b", is_varied),
    Kind(
        "Doppler token",
        rf"\bdp\.(?:pt|st|ct|sa|scim|audit)\."
        rf"(?:[a-z0-9_-]{{2,35}}\.)?{_A}{{40,}}",
        is_random,
    ),
    Kind("Tailscale key", rf"\btskey-[a-z]+-{_A}{{8,}}-{_A}{{20,}}", is_random),
    Kind("Supabase key", rf"\b(?:sbp_[0-9a-f]{{40}}|sb_secret_{_W}{{20,}})", is_random),
    Kind("PlanetScale token", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9=._-]{32,}", is_random),
    # code
    Kind("GitHub token", rf"\bgh[pour]_{_A}{{30,}}", is_random),
    Kind("GitHub token", rf"\bghs_{_A}{{20,}}(?:[._]{_W}{{20,}}){{0,3}}", is_random),
    Kind("GitHub token", r"\bgithub_pat_[A-Za-z0-9_]{40,}", is_random),
    Kind(
        "GitLab token",
        rf"\bgl(?:pat|ptt|rt|rtr|dt|cbt|ft|ffct|soat|agent|imt|oas|at|sat)-{_W}{{20,}}"
        r"(?:\.[0-9a-z]{2}\.[0-9a-z]{7,9})?",
        is_random,
    ),
    Kind("GitLab runner token", rf"\bGR1348941{_W}{{20}}", is_random),
    Kind("Bitbucket token", rf"\bATBB{_A}{{24,}}", is_random),
    Kind("Atlassian token", r"\bAT[AC]TT3[A-Za-z0-9_=-]{50,}", is_random),
    Kind("npm token", rf"\bnpm_{_A}{{36,}}", is_random),
    Kind("PyPI token", rf"\bpypi-{_W}{{50,}}", is_random),
    Kind("RubyGems key", r"\brubygems_[0-9a-f]{48}", is_varied),
    Kind("NuGet key", r"\boy2[a-z0-9]{43}\b", is_random),
    Kind("crates.io token", rf"\bcio{_A}{{32}}\b", is_random),
    Kind("Docker token", rf"\bdckr_[po]at_{_W}{{24,}}", is_random),
    Kind("Postman key", r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{30,}", is_varied),
    Kind("Sentry token", r"\b(?:sntryu_[0-9a-f]{60,}|sntrys_eyJ[A-Za-z0-9+/=_-]{40,})", is_random),
    Kind(
        "Grafana token",
        rf"\b(?:glsa_{_A}{{32}}_[0-9a-fA-F]{{8}}|glc_eyJ[A-Za-z0-9+/=]{{40,}})",
        is_random,
    ),
    Kind("New Relic key", r"\bNR(?:AK|AA|RA|II|IQ)-[A-Za-z0-9_-]{24,}", is_random),
    Kind("Dynatrace token", r"\bdt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}", is_random),
    # talk
    Kind("Slack token", r"\bxox[a-z](?:\.xox[a-z])?-[A-Za-z0-9%-]{10,}", is_random),
    Kind("Slack app token", r"\bxapp-\d-[A-Za-z0-9]+-\d+-[A-Za-z0-9]{20,}", is_random),
    Kind("Slack app token", r"\bxapp-[A-Za-z0-9-]{40,}", is_random),
    Kind(
        "Slack webhook",
        r"(?i)\bhooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9_+/-]{20,}",
        is_random,
    ),
    Kind(
        "Discord token",
        rf"{_START}([MNO]{_A}{_W}{{21,27}}\.{_W}{{6,7}}\.{_W}{{27,45}})",
        is_random,
    ),
    Kind("Discord token", rf"{_START}({_W}{{23,28}}\.{_W}{{6,7}}\.{_W}{{27,45}})", is_dense),
    Kind("Discord token", rf"\bmfa\.{_W}{{60,}}", is_random),
    Kind(
        "Discord webhook",
        rf"(?i)\bdiscord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d{{15,21}}/{_W}{{20,}}",
        is_random,
    ),
    Kind("Telegram token", rf"(?:\b|bot)(\d{{8,10}}:{_W}{{35}})(?:[^A-Za-z0-9_-]|$)", is_random),
    Kind(
        "Teams webhook",
        r"(?i)\bwebhook\.office\.com/webhookb2/[0-9a-f@-]{36,}"
        r"/IncomingWebhook/[0-9a-f]{32}/[0-9a-z/-]{20,}",
    ),
    # mail, telephone
    Kind("SendGrid key", rf"\bSG\.{_W}{{16,32}}\.{_W}{{30,64}}", is_random),
    Kind("Mailgun key", r"\bkey-[0-9a-zA-Z]{32}\b", is_random),
    Kind("Mailgun key", r"\b[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}\b", is_varied),
    Kind("Mailchimp key", r"\b[0-9a-f]{32}-us\d{1,2}\b", is_varied),
    Kind("Brevo key", r"\bx(?:keysib|smtpsib)-[0-9a-f]{64}-[A-Za-z0-9]{16}", is_varied),
    Kind("Resend key", rf"\bre_{_A}{{8}}_{_A}{{20,}}", is_random),
    Kind("Twilio key", r"\b(?:SK|AC)[0-9a-f]{32}\b", is_varied),
    # money, shops
    Kind("Stripe key", rf"\b(?:sk|rk)_(?:live|test)_{_A}{{16,}}", is_random),
    Kind("Stripe key", rf"\bsk_org_(?:live|test)_{_A}{{16,}}", is_random),
    Kind("Webhook secret", r"\bwhsec_[A-Za-z0-9+/=]{24,}", is_random),
    Kind("Square token", rf"\bsq0[a-z]{{3}}-{_W}{{22,}}", is_random),
    Kind("Square token", rf"\bEAAA{_W}{{56,64}}", is_random),
    Kind("Meta token", rf"\bEAA[A-Z]{_A}{{80,}}", is_random),
    Kind("Shopify token", r"\bshp[a-z]{2,3}_[0-9a-fA-F]{32}", is_varied),
    Kind("PayPal token", r"\baccess_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}"),
    Kind("Plaid token", r"\baccess-(?:sandbox|development|production)-[0-9a-f-]{36}", is_varied),
    Kind("Shippo token", r"\bshippo_(?:live|test)_[0-9a-fA-F]{40}", is_varied),
    # work
    Kind("Linear key", rf"\blin_(?:api|oauth|wh)_{_A}{{32,}}", is_random),
    Kind("Notion key", rf"\b(?:secret_{_A}{{40,}}|ntn_{_A}{{36,}})", is_random),
    Kind("Airtable token", r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}", is_random),
    Kind("Figma token", rf"\bfig[doru]{{1,2}}_{_W}{{36,}}", is_random),
    Kind("Dropbox token", rf"\bsl\.(?:u\.)?{_W}{{100,}}", is_random),
    Kind("PostHog key", rf"\bphx_{_A}{{40,}}", is_random),
    Kind("Typeform token", r"\btfp_[A-Za-z0-9_.-]{40,}", is_random),
    # of everybody
    Kind("JSON web token", rf"\beyJ{_W}{{8,}}\.{_W}{{8,}}\.{_W}{{8,}}", is_random),
    Kind(
        "private key",
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----",
        is_block=True,
    ),
    Kind("private key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    Kind(
        "password in an address",
        r"(?i)[a-z0-9+.-]://[^\s:@/'\"<>]{0,80}:([^\s@/'\"<>]{4,200})@[a-z0-9\[_]",
        is_password,
    ),
)
