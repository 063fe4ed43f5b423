"""Strategies of hostile input: values at the limits of types, deep nesting, damaged samples."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

FUZZ = settings.get_profile("fuzz")

TIMES = st.sampled_from(
    [
        "2026-03-02T09:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999-23:59",
        "9999-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "2026-02-30",
        "2026-W10-1",
        "infinity",
        "-4000-01-01",
        "2026-03-02T09:00:00[Europe/Berlin]",
        "24:00",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=30),
    TIMES,
    st.sampled_from(
        [
            "",
            " ",
            "\x00",
            "\ud800",
            "\u202e",
            "a" * 5_000,
            "1e1000000000",
            "-1e1000000000",
            "1e-1000000000",
            "NaN",
            "sNaN",
            "9" * 5_000,
            "{{ name }}",
            "%00",
            "٣",
            "²",
            "0x10",
            "1_000",
            "Infinity",
            "+49 170 1234567",
            "a@b.c",
            "a@xn--\x00.de",
            "../../etc/passwd",
            "true",
            "null",
            "{",
            "[" * 2_000,
            "=cmd|' /C calc'!A0",
        ]
    ),
)
NUMBERS: st.SearchStrategy[int | float] = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from(
        [0, -1, 2**31, 2**63, 2**64, -(2**63), 10**308, 10**400, 1e308, -1e308, 5e-324, -0.0, 1e15]
    ),
)


def nested(depth: int) -> Any:
    """Return objects in objects, so many deep."""
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


SCALARS: st.SearchStrategy[Any] = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=8,
    ),
    st.sampled_from([60, 300, 900]).map(nested),
)


def replaced(sample: Any) -> st.SearchStrategy[Any]:
    """Return the sample with some of its parts replaced by hostile values, removed, or added."""

    @st.composite
    def change(draw: st.DrawFn) -> Any:
        copy = json.loads(json.dumps(sample))
        for _ in range(draw(st.integers(0, 4))):
            copy = _changed(draw, copy)
        return copy

    return change()


def _changed(draw: st.DrawFn, value: Any) -> Any:
    """Change one part, found by walking down at random."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        match draw(st.integers(0, 9)):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return {**value, draw(TEXTS): draw(VALUES)}
            case _:
                return {**value, key: _changed(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        place = draw(st.integers(0, len(value) - 1))
        if not draw(st.integers(0, 9)):
            return [*value, *value[: draw(st.integers(0, 20))]]
        return [*value[:place], _changed(draw, value[place]), *value[place + 1 :]]
    return draw(VALUES)


@st.composite
def damaged(draw: st.DrawFn, sample: bytes) -> bytes:
    """Return the bytes with some of them overwritten, removed, repeated or inserted."""
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(sample)))
        length = draw(st.integers(0, 40))
        part = draw(
            st.one_of(
                st.binary(max_size=20),
                st.just(sample[start : start + length] * draw(st.integers(0, 50))),
                TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
                NUMBERS.map(_digits),
            )
        )
        sample = sample[:start] + part + sample[start + length :]
    return sample


def _digits(number: float) -> bytes:
    if isinstance(number, int) and number.bit_length() > 10_000:
        return b"9" * 5_000
    return str(number).encode()


def as_json(value: Any) -> bytes:
    """Return JSON as other programs write it: with NaN, huge integers and lone surrogates."""
    return json.dumps(value).encode()
