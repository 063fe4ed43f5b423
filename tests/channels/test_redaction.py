"""A provider's words without anybody's data in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.channels.redaction import redacted

BODY = "Dear Zoë, your secret plan costs 12 euros a month.\nYours, Acme"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("user ada@example.com unknown", "user <address> unknown"),
        ("no such number +1 (555) 010-0123.", "no such number <address>."),
        ("user ADA is gone", "user <address> is gone"),
        ("cannot connect to 192.168.100.200:2525", "cannot connect to 192.168.100.200:2525"),
        ("queued as 4XyZabc123 at 20260302090000", "queued as 4XyZabc123 at 20260302090000"),
        ("adamant", "adamant"),
    ],
)
def test_addresses_go_and_the_rest_stays(words: str, kept: str):
    assert redacted(words, "ada@example.org") == kept


@pytest.mark.parametrize(
    "quote",
    ["your secret plan costs 12 euros", "plan costs 12 euros a month. Yours, Acme", BODY],
)
def test_what_is_quoted_of_the_message_goes(quote: str):
    told = redacted(f"spam: “{quote}” is not welcome", texts=[None, "", BODY])
    assert told.startswith("spam: “<message>")
    assert told.endswith("is not welcome")
    assert "secret" not in told
    assert "Acme" not in told


def test_a_short_text_goes_when_it_is_quoted_whole():
    assert redacted("bad body 'canary'", texts=["canary"]) == "bad body '<message>'"


@given(st.text(min_size=40, max_size=200), st.text(max_size=100), st.text(max_size=100))
def test_no_long_stretch_of_the_message_survives(body: str, before: str, after: str):
    told = redacted(before + body + after, texts=[body])
    flat = " ".join(body.split())
    assert not flat or len(flat) < 16 or flat not in told


@given(st.text(max_size=3_000))
def test_what_is_left_is_one_short_line(words: str):
    told = redacted(words)
    assert len(told) <= 500
    assert "\n" not in told
