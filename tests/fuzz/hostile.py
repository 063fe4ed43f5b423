"""Hostile input: values at the limits of types, deep nesting, damaged samples.

Each case is built by Python's random from a seed that Hypothesis draws: many times faster than
drawing every part of it, and a failing case is repeated by its seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

FUZZ: Final = settings.get_profile("fuzz")
Case = TypeVar("Case")

TIMES: Final = (
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
    "09:30",
)
WORDS: Final = (
    "",
    " ",
    "\x00",
    "\ud800",
    "\u202e",
    "\r\n",
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
    "Europe/Berlin",
    *TIMES,
)
NUMBERS: Final = (
    0,
    1,
    -1,
    0.5,
    -0.0,
    2**31,
    2**63,
    2**64,
    -(2**63),
    10**308,
    10**400,
    10**4_299,
    1e308,
    -1e308,
    5e-324,
    1e15,
    float("nan"),
    float("inf"),
    float("-inf"),
)
CHARACTERS: Final = "aB1 .,:;-_@/\\'\"{}[]()<>|%&=+#\n\t\x00\x7fäß€😀\u200d\u0301\ud800"


def cases(build: Callable[[Random], Case]) -> st.SearchStrategy[Case]:
    """Return a strategy of the cases that a function builds."""
    return st.integers(0, 2**63 - 1).map(lambda seed: build(Random(seed)))


def text(random: Random) -> str:
    """Return a word, or a few random characters."""
    if random.random() < 0.6:
        return random.choice(WORDS)
    return "".join(random.choices(CHARACTERS, k=random.randrange(12)))


def number(random: Random) -> int | float:
    """Return a number at a limit, or a random one."""
    if random.random() < 0.6:
        return random.choice(NUMBERS)
    return random.choice([random.randrange(-1_000, 1_000), random.uniform(-1e6, 1e6)])


def value(random: Random, depth: int = 0) -> Any:
    """Return any JSON value."""
    kind = random.randrange(10)
    if kind < 4 or depth > 3:
        return text(random)
    if kind < 6:
        return number(random)
    if kind < 7:
        return random.choice([None, True, False])
    if kind < 8:
        return [value(random, depth + 1) for _ in range(random.randrange(4))]
    if kind < 9:
        return {text(random): value(random, depth + 1) for _ in range(random.randrange(4))}
    return nested(random.choice([2, 60, 300, 900]))


def nested(depth: int) -> Any:
    """Return objects in objects, so many deep."""
    inner: Any = 1
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def replaced(random: Random, samples: Sequence[Any]) -> Any:
    """Return a sample with up to four of its parts replaced, removed, repeated or added."""
    copy = json.loads(json.dumps(random.choice(samples)))
    for _ in range(random.randrange(5)):
        copy = _changed(random, copy)
    return copy


def _changed(random: Random, part: Any) -> Any:
    """Change one part, found by walking down at random."""
    if isinstance(part, dict) and part and random.random() < 0.9:
        key = random.choice(list(part))
        match random.randrange(10):
            case 0:
                return {name: item for name, item in part.items() if name != key}
            case 1:
                return {**part, text(random): value(random)}
            case _:
                return {**part, key: _changed(random, part[key])}
    if isinstance(part, list) and part and random.random() < 0.9:
        place = random.randrange(len(part))
        if random.random() < 0.1:
            return [*part, *part[: random.randrange(20)]]
        return [*part[:place], _changed(random, part[place]), *part[place + 1 :]]
    return value(random)


def damaged(random: Random, samples: Sequence[bytes]) -> bytes:
    """Return a sample with up to four places overwritten, removed, repeated or inserted into."""
    sample = random.choice(samples)
    for _ in range(random.randrange(5)):
        start, length = random.randrange(len(sample) + 1), random.randrange(40)
        match random.randrange(4):
            case 0:
                part = random.randbytes(random.randrange(20))
            case 1:
                part = sample[start : start + length] * random.randrange(50)
            case 2:
                part = text(random).encode("utf-8", "surrogatepass")
            case _:
                part = str(number(random)).encode()
        sample = sample[:start] + part + sample[start + length * random.randrange(2) :]
    return sample


def noise(random: Random) -> bytes:
    """Return random bytes."""
    return random.randbytes(random.randrange(200))


def as_json(content: Any) -> bytes:
    """Return JSON as other programs write it: with NaN, huge integers and lone surrogates."""
    return json.dumps(content).encode()
