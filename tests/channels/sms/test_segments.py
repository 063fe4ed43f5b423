"""Segments of an SMS, and inbound keywords."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.channels.sms.segments import count_segments
from drip_pipeline.channels.sms.twilio_callbacks import is_signed, read_inbound, read_status
from drip_pipeline.settings import Secret


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "GSM-7", 0, 0),
        ("x" * 160, "GSM-7", 160, 1),
        ("x" * 161, "GSM-7", 161, 2),
        ("x" * 306, "GSM-7", 306, 2),
        ("x" * 307, "GSM-7", 307, 3),
        ("€" * 80, "GSM-7", 160, 1),
        ("x" * 152 + "€" + "x" * 7, "GSM-7", 161, 2),
        # The euro sign takes two septets and is not split: 153 + 2 do not fit into the first.
        ("x" * 152 + "€" + "x" * 152, "GSM-7", 306, 3),
        ("Grüße an Ådne, mañana, ¿qué?", "GSM-7", 28, 1),
        ("ñandú", "UCS-2", 5, 1),
        ("ж" * 70, "UCS-2", 70, 1),
        ("ж" * 71, "UCS-2", 71, 2),
        ("it’s", "UCS-2", 4, 1),
        ("😀" * 35, "UCS-2", 70, 1),
        ("😀" * 36, "UCS-2", 72, 2),
        # 67 units a segment hold 33 of them: none is cut in half.
        ("😀" * 67, "UCS-2", 134, 3),
    ],
)
def test_segments_are_counted_as_networks_do(text: str, encoding: str, units: int, segments: int):
    counted = count_segments(text)
    assert (counted.encoding, counted.units, counted.segments) == (encoding, units, segments)


def test_the_characters_that_require_ucs_2_are_listed():
    assert count_segments("it’s “fine” it’s").non_gsm == "’“”"


@given(st.text(max_size=400), st.text(max_size=400))
def test_longer_text_never_needs_fewer_segments(one: str, more: str):
    assert count_segments(one + more).segments >= count_segments(one).segments


@pytest.mark.parametrize(
    ("form", "keyword"),
    [
        ({"Body": "STOP"}, "stop"),
        ({"Body": " stop. "}, "stop"),
        ({"Body": "Stop All"}, "stop"),
        ({"Body": "Unsubscribe"}, "stop"),
        ({"Body": "whatever", "OptOutType": "STOP"}, "stop"),
        ({"Body": "START"}, "start"),
        ({"Body": "help"}, "help"),
        ({"Body": "please stop calling me"}, None),
        ({"Body": "thanks!"}, None),
        ({"Body": ""}, None),
    ],
)
def test_requests_are_read_from_keywords(form: dict[str, str], keyword: str | None):
    whole = {"MessageSid": "SM1", "From": "+1 555 010 0123", "To": "+15550100999"} | form
    text = read_inbound(whole)
    assert text is not None
    assert (text.sender, text.keyword) == ("+15550100123", keyword)
    assert text.event_type == ("sms_opted_out" if keyword == "stop" else "sms_replied")


def test_a_form_without_an_sms_is_none():
    assert read_inbound({"MessageSid": "SM1", "From": "+15550100123"}) is None
    assert read_inbound({"From": "+15550100123", "Body": "x"}) is None
    assert read_inbound({"MessageSid": "SM1", "From": "whatsapp", "Body": "x"}) is None


@pytest.mark.parametrize(
    ("status", "event_type"),
    [
        ("delivered", "sms_delivered"),
        ("undelivered", "sms_failed"),
        ("failed", "sms_failed"),
        ("sent", None),
        ("queued", None),
        ("", None),
    ],
)
def test_status_reports_are_mapped(status: str, event_type: str | None):
    line = read_status({"MessageSid": "SM1", "MessageStatus": status}, "some-id")
    assert (line and line["event_type"]) == event_type
    if line:
        assert (line["event_id"], line["message_id"]) == (f"SM1:{status}", "some-id")


def test_the_reason_of_a_failure_is_stored():
    form = {"SmsSid": "SM1", "SmsStatus": "failed", "ErrorCode": "30003"}
    line = read_status(form, None)
    assert line is not None
    assert line["data"] == {
        "status": "failed",
        "provider_message_id": "SM1",
        "reason": "twilio_30003",
    }
    assert "message_id" not in line


def test_only_the_providers_signature_is_accepted():
    # The example of https://www.twilio.com/docs/usage/security, recomputed.
    token, url = Secret("12345"), "https://mycompany.example.com/myapp.php?foo=1&bar=2"
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    good = base64.b64encode(hmac.new(b"12345", text.encode(), "sha1").digest()).decode()
    assert is_signed(token, url, form, good)
    assert not is_signed(token, url, form | {"Digits": "1"}, good)
    assert not is_signed(Secret("54321"), url, form, good)
    assert not is_signed(token, f"{url}&x", form, good)
    assert not is_signed(token, url, form, "")
