"""What a setting is, how the text of each kind is read, and the secret that no log can show. Which
settings there are stands in settings.py.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from drip_pipeline.errors import SettingsError

MASK = "**********"
_CRON_FIELDS = 5


class Secret:
    """A text that shows itself only to `reveal()`; `str`, `repr` and formatting give a mask."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Never log what this returns."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(
            self._text.encode(), other._text.encode()
        )

    def __hash__(self) -> int:
        return hash(("Secret", self._text))


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. `default` is what the user reads about it, `parse` turns its text
    into the field.
    """

    name: str
    field: str
    default: str
    unit: str
    consequence: str
    parse: Callable[[str, str], Any]
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days each kind of data is kept; 0 is for ever. `log`: events, of enrollments and of
    contacts. `deliveries`: settled messages of the outbox, recorded messages, keys by which events
    are known as duplicates. `traces`: the ledger of batches, rejected lines. `runs`,
    `failed_runs`: what Dagster keeps of runs and ticks.
    """

    log: int = 0
    deliveries: int = 400
    traces: int = 90
    runs: int = 7
    failed_runs: int = 30


SHORTEST_LOG_DAYS: Final = 90
"""Replies, purchases and complaints come weeks after a message, whose events must be there then."""

DEFAULT_RETENTION: Final = Retention()


def plain_text(_name: str, value: str) -> str:
    """The text as it stands."""
    return value


def words(_name: str, value: str) -> tuple[str, ...]:
    """Words, separated by commas or blanks."""
    return tuple(word for word in value.replace(",", " ").split() if word)


def cron(name: str, value: str) -> str:
    """A cron expression of five fields."""
    from croniter import croniter  # type: ignore[import-untyped]

    if len(value.split()) != _CRON_FIELDS or not croniter.is_valid(value):
        raise SettingsError(name, "must be a cron expression of five fields, as in 0 6 * * *")
    return value


def secrets_of(_name: str, value: str) -> tuple[Secret, ...]:
    """Several texts that are not shown, separated by commas: an old and a new one, while a secret
    is changed, or those of several accounts.
    """
    return tuple(Secret(word.strip()) for word in value.split(",") if word.strip())


def secret(_name: str, value: str) -> Secret:
    """A text that is not shown."""
    return Secret(value)


def folder(_name: str, value: str) -> Path:
    """A folder, as an absolute path."""
    return Path(value).expanduser().absolute()


def whole_number(low: int, high: int) -> Callable[[str, str], int]:
    """A whole number within these bounds."""

    def parse(name: str, value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise SettingsError(name, f"must be a whole number, not {value!r}") from None
        if not low <= number <= high:
            raise SettingsError(name, f"must lie between {low} and {high}, not {number}")
        return number

    return parse


def one_of(*allowed: str) -> Callable[[str, str], str]:
    """One of these words."""

    def parse(name: str, value: str) -> str:
        if value.lower() not in allowed:
            raise SettingsError(name, f"must be one of {', '.join(allowed)}, not {value!r}")
        return value.lower()

    return parse


def secret_url(*schemes: str) -> Callable[[str, str], Secret]:
    """A URL that may hold a password, of one of these schemes."""

    def parse(name: str, value: str) -> Secret:
        check_url(name, value, schemes)
        return Secret(value)

    return parse


def public_url(name: str, value: str) -> str:
    """The base of links, without a slash at the end."""
    check_url(name, value, ("http", "https"))
    if not urlsplit(value).hostname:
        raise SettingsError(name, "must name a host, as in https://mail.example.com")
    return value.rstrip("/")


def check_url(name: str, value: str, schemes: tuple[str, ...]) -> None:
    """Raise SettingsError unless the value is a URL of one of these schemes."""
    # The value is not quoted in these messages: it may hold a password.
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise SettingsError(name, "is not a URL") from None
    if parts.scheme not in schemes:
        wanted = " or ".join(f"{scheme}://" for scheme in schemes)
        raise SettingsError(name, f"must begin with {wanted}")


def retention(name: str, value: str) -> Retention:
    """Days by kind of data, as in `log=760, deliveries=400`."""
    given: dict[str, int] = {}
    kinds = tuple(field.name for field in fields(Retention))
    for word in words(name, value):
        kind, _, days = word.partition("=")
        if kind not in kinds:
            raise SettingsError(name, f"knows {', '.join(kinds)}, not {kind!r}")
        given[kind] = whole_number(0, 36_500)(f"{name} ({kind})", days)
    if 0 < given.get("log", 0) < SHORTEST_LOG_DAYS:
        raise SettingsError(name, f"(log) must be 0 or at least {SHORTEST_LOG_DAYS}")
    return Retention(**given)


def kept_key(path: Path) -> str:
    """A key made once and kept in this file, which only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)  # atomic: of two processes that start together, one key wins
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii").strip()
