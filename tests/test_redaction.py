"""Provider responses are stored without personal data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.redaction import redact_response

BODY = "Dear Zoë, your secret plan costs 12 euros a month.\nYours, Acme"


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        ("user ada@example.com unknown", "user <address> unknown"),
        ("no such number +1 (555) 010-0123.", "no such number <address>."),
        ("user ADA is gone", "user <address> is gone"),
        ("cannot connect to 192.168.100.200:2525", "cannot connect to 192.168.100.200:2525"),
        ("queued as 4XyZabc123 at 20260302090000", "queued as 4XyZabc123 at 20260302090000"),
        ("adamant", "adamant"),
    ],
)
def test_addresses_are_masked_and_the_rest_is_kept(response: str, kept: str):
    assert redact_response(response, "ada@example.org") == kept


@pytest.mark.parametrize(
    "quote",
    ["your secret plan costs 12 euros", "plan costs 12 euros a month. Yours, Acme", BODY],
)
def test_quotes_of_the_message_are_masked(quote: str):
    line = redact_response(f"spam: “{quote}” is not welcome", texts=[None, "", BODY])
    assert line.startswith("spam: “<message>")
    assert line.endswith("is not welcome")
    assert "secret" not in line
    assert "Acme" not in line


def test_a_short_text_is_masked_when_quoted_in_full():
    assert redact_response("bad body 'canary'", texts=["canary"]) == "bad body '<message>'"


@given(st.text(min_size=40, max_size=200), st.text(max_size=100), st.text(max_size=100))
def test_no_long_part_of_the_message_is_kept(body: str, before: str, after: str):
    line = redact_response(before + body + after, texts=[body])
    flat = " ".join(body.split())
    assert not flat or len(flat) < 16 or flat not in line


@given(st.text(max_size=3_000))
def test_the_result_is_one_short_line(response: str):
    line = redact_response(response)
    assert len(line) <= 500
    assert "\n" not in line
