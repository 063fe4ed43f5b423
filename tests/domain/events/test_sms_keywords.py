"""Which inbound SMS are requests, and which are replies."""

from __future__ import annotations

import pytest

from drip_pipeline.domain.events.sms_keywords import STOP_WORDS, keyword_of


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        " Stop. ",
        "STOP!",
        "“STOP”",
        "(stop)",
        "stop?",
        "STOP 🛑",
        "🛑stop🙏",
        "ＳＴＯＰ",
        "s\u200btop",
        "STOP STOP",
        "S T O P",
        "stop all",
        "Stop-All",
        "OPT-OUT",
        "opt out",
        "Opt_Out",
        "optout.",
        "stop please",
        "please stop",
        "Stop, thanks!",
        "STOP now",
        "stop texting me",
        "Please stop sending me messages",
        "stop all messages",
        "unsubscribe me",
        "please opt me out",
        "remove me",
        "STOP 36111",
        "Cancel",
        "cancel please",
        "END",
        "quit.",
        "revoke",
        "ARRÊT",
        "Arret svp",
        "ALTO",
        "baja por favor",
        "parar",
        "SAIR",
        "abmelden bitte",
        "STOPP",
        "afmelden",
        "СТОП",
        "停止",
    ],
)
def test_usual_forms_of_stop_opt_out(text: str):
    assert keyword_of(text) == "stop"


@pytest.mark.parametrize("word", sorted(set().union(*STOP_WORDS.values())))
def test_each_word_of_the_carriers_lists_opts_out(word: str):
    assert keyword_of(word) == keyword_of(f"{word.upper()}!") == "stop"


@pytest.mark.parametrize(
    "text",
    [
        "I can't stop smiling",
        "don't stop",
        "Don’t stop!",
        "non-stop",
        "when does it end?",
        "end of month works",
        "cancel my order",
        "please cancel my appointment",
        "quit smoking",
        "bus stop",
        "stop by tomorrow",
        "stop it or not",
        "please stop calling me",
        "yes please",
        "thanks!",
        "thank you",
        "me",
        "ok",
        "",
        "🛑",
        "12345",
        "!!!",
        "what happens if I text STOP to this number and then want to come back later",
    ],
)
def test_an_ambiguous_text_is_a_reply(text: str):
    assert keyword_of(text) is None


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("START", "start"),
        ("start please", "start"),
        ("Yes", "start"),
        ("UNSTOP", "start"),
        ("opt in", "start"),
        ("help", "help"),
        ("INFO?", "help"),
    ],
)
def test_start_and_help_are_requests(text: str, keyword: str):
    assert keyword_of(text) == keyword
