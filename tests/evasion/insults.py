"""Terms as operators have them, short and ordinary ones among them."""

from __future__ import annotations

INSULTS = (
    "ass", "arse", "bastard", "bimbo", "bitch", "bollocks", "boner", "bugger", "bullshit", "bum",
    "butt", "cock", "coon", "crap", "cum", "cunt", "damn", "dick", "dildo", "dork", "douche",
    "fag", "fart", "fuck", "git", "goddamn", "hell", "hoe", "homo", "hooker", "idiot", "jackass",
    "jerk", "jizz", "knob", "lesbo", "minge", "moron", "nazi", "nob", "nude", "pansy", "penis",
    "perv", "piss", "poof", "porn", "prick", "pube", "puke", "pussy", "queer", "rape", "retard",
    "scum", "semen", "sex", "shit", "skank", "slag", "slut", "sod", "spic", "suck", "tart", "tit",
    "tosser", "tramp", "turd", "twat", "vulva", "wank", "wench", "whore", "willy", "wuss", "anal",
    "anus", "kike", "clit", "orgy", "smut", "pimp", "thug", "tard", "lmao", "wtf", "butthole",
    "asshole", "motherfucker", "dumbass", "dipshit", "shithead", "bonehead", "scumbag",
)  # fmt: skip
OTHERS = (
    "badword", "assent", "cop", "hop", "bad-site.example", "kill yourself", "covid19", "1488",
    "сука", "傻逼", "バカ", "c++",
)  # fmt: skip
