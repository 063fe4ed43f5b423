from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.log_setup import configure_logging
from drip_pipeline.redaction import redact


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    output = io.StringIO()
    configure_logging("info", stream=output)
    yield output
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_an_address_in_a_stdlib_message_is_masked(stream):
    logging.getLogger("x").warning("bounced: %s", "ann.lee+news@mail.example.com")
    assert "bounced: <address>" in stream.getvalue()
    assert "ann" not in stream.getvalue()


def test_addresses_in_structured_values_are_masked_however_deep(stream):
    meta = {"from": ("c@example.org",)}
    structlog.get_logger("x").info("sent", to=["bob@example.com"], meta=meta)
    assert "example" not in stream.getvalue()
    assert stream.getvalue().count("<address>") == 2


def test_addresses_in_tracebacks_are_masked(stream):
    message = "no such person: dora@example.com"
    try:
        raise ValueError(message)
    except ValueError:
        structlog.get_logger("x").exception("failed")
        logging.getLogger("y").exception("failed too")
    assert stream.getvalue().count("no such person: <address>") == 2
    assert "dora" not in stream.getvalue()


def test_lower_levels_are_not_logged(stream):
    logging.getLogger("x").debug("too much")
    structlog.get_logger("x").debug("too much")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:p4ss@h:1/d", "postgresql://u:***@h:1/d"),
        ("smtps://user:p%40ss@relay.example.com", "smtps://user:***@relay.example.com"),
        ("call +4915112345678 now", "call <phone> now"),
        ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"),
        ("1+12345678", "1+12345678"),
        ("@decorated and a@b", "@decorated and a@b"),
    ],
)
def test_only_personal_data_and_passwords_are_masked(text, masked):
    assert redact(text) == masked


@given(
    st.from_regex(r"[a-z][a-z0-9._+-]{0,20}", fullmatch=True),
    st.from_regex(r"[a-z0-9-]{1,20}\.(com|org|co\.uk)", fullmatch=True),
    st.text(alphabet=' ,;:<>()"\n', max_size=5),
)
def test_no_ordinary_address_survives_redaction(local, domain, around):
    assert f"{local}@{domain}" not in redact(f"to{around} {local}@{domain} {around}")


@given(st.text(max_size=200))
def test_redaction_is_stable(text):
    assert redact(redact(text)) == redact(text)
