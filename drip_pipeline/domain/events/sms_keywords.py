"""The requests that an inbound SMS makes by a keyword: stop, start or help.

A text is a request if it consists of a keyword and words of courtesy. Any other text is a reply,
also if it contains a keyword ("I can't stop smiling").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Final, Literal

SmsKeyword = Literal["stop", "start", "help"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


STOP_WORDS: Final[Mapping[str, frozenset[str]]] = {
    # By language; in lower case, without blanks, marks and accents.
    # Twilio's defaults and CTIA's guidelines, with REVOKE and OPTOUT of the FCC's rule of 2025.
    "en": _set(
        "stop stopall unsubscribe unsub cancel end quit revoke optout optmeout remove removeme "
        "takemeoff"
    ),
    "fr": _set("arret arreter arretez desabonner desinscrire stopsms"),
    "es": _set("alto baja parar pare cancelar detener darbaja darmedebaja"),
    "pt": _set("sair parar pare cancelar remover"),
    "it": _set("ferma fermare annulla cancella cancellami disiscrivi"),
    "de": _set("stopp stoppen abmelden abbestellen austragen beenden"),
    "nl": _set("stoppen afmelden uitschrijven"),
    "sv, no, da": _set("stopp stop avregistrera avsluta avslutt afmeld"),
    "pl": _set("stop rezygnuje wypisz"),
    "ru, uk": _set("стоп отписаться отписка відписатися"),
    "tr": _set("dur durdur iptal ret cik"),
    "ja": _set("停止 配信停止 解除 退会"),
    "zh": _set("停止 退订 退訂 td"),
}
START_WORDS: Final = frozenset({"start", "yes", "unstop", "optin", "subscribe", "resubscribe"})
HELP_WORDS: Final = frozenset({"help", "info", "aide", "ayuda", "ajuda", "hilfe", "aiuto"})

PLAIN_STOP_WORDS: Final = frozenset(
    {"stop", "stopall", "stopp", "unsubscribe", "unsub", "optout", "стоп", "arret"}
)
"""Keywords with no other meaning in a conversation. What is to stop may follow."""

_COURTESY: Final = frozenset(
    [
        "please",
        "pls",
        "plz",
        "thanks",
        "thank",
        "thx",
        "you",
        "ty",
        "now",
        "ok",
        "okay",
        "hi",
        "hello",
        "sorry",
        "bitte",
        "danke",
        "svp",
        "sil",
        "vous",
        "plait",
        "merci",
        "por",
        "favor",
        "gracias",
        "obrigado",
        "obrigada",
        "per",
        "favore",
        "grazie",
        "aub",
        "alstublieft",
        "bedankt",
        "tack",
        "takk",
        "tak",
        "prosze",
        "пожалуйста",
    ]
)
_WHAT_STOPS: Final = frozenset(
    [
        "me",
        "my",
        "number",
        "all",
        "it",
        "this",
        "these",
        "the",
        "your",
        "from",
        "to",
        "texting",
        "texts",
        "text",
        "messaging",
        "messages",
        "message",
        "msgs",
        "msg",
        "sms",
        "sending",
        "contacting",
        "alerts",
        "marketing",
        "list",
        "mir",
        "keine",
        "nachrichten",
        "les",
        "los",
        "mensajes",
        "mensagens",
    ]
)

_ALL_STOP_WORDS: Final = frozenset().union(*STOP_WORDS.values())
_WORD: Final = re.compile(r"[^\W_]+")
_MOST_WORDS: Final = 12


def keyword_of(text: str) -> SmsKeyword | None:
    """Return what the text requests; None if it is a reply."""
    words = _words(text)
    if not words or len(words) > _MOST_WORDS:
        return None
    if _is_request(words, _ALL_STOP_WORDS, _COURTESY):
        return "stop"
    what_stops = _COURTESY | _WHAT_STOPS | {word for word in words if word.isdecimal()}
    if _is_request(words, PLAIN_STOP_WORDS, what_stops):
        return "stop"
    # "Yes please" answers a question.
    if _is_request(words, START_WORDS - {"yes"}, _COURTESY) or words == ["yes"]:
        return "start"
    return "help" if _is_request(words, HELP_WORDS, _COURTESY) else None


def _words(text: str) -> list[str]:
    """Return the words without case, accents, emoji, marks and invisible characters."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    visible = "".join(
        character
        for character in decomposed
        if not unicodedata.combining(character) and unicodedata.category(character) != "Cf"
    )
    # An apostrophe joins: "don't" is one word, and no request.
    return _WORD.findall(re.sub(r"['’ʼ`´]", "", unicodedata.normalize("NFC", visible)))


def _is_request(words: list[str], keywords: Collection[str], ignored: Collection[str]) -> bool:
    """Return whether nothing but one of the keywords, also repeated or in parts, is left."""
    left = [word for word in words if word not in ignored or word in keywords]
    return bool(left) and (
        all(word in keywords for word in left)
        or "".join(words) in keywords
        or "".join(left) in keywords
    )
