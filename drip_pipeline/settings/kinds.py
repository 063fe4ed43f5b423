"""Types of settings: how the text of an environment variable becomes a value of each type.

`Settings` (in the package's `__init__`) lists the settings. A validator here reads text only: a
value that already has its type, as tests pass it, goes through unchanged. Validators raise
ValueError with a predicate ("must be …"); `Settings.from_env` puts the variable's name before it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Final, NamedTuple, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator

MASK: Final = "**********"
SHORTEST_LOG_DAYS: Final = 90
"""Replies, purchases and complaints arrive weeks after a message and are matched to its events."""

_CRON_FIELDS: Final = 5
_POSTGRES_SCHEMES: Final = (
    "postgresql",
    "postgres",
    "postgresql+psycopg",
    "postgresql+psycopg2",
)
_UNENCODED: Final = re.compile(r"[\x00-\x20\x7f]")
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTHORITY: Final = re.compile(r"([^/?]*)(.*)")
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::\d{0,5})?")


class Secret:
    """A text that only `reveal()` returns; `str`, `repr` and formatting return a mask."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Never log the result."""
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


class AccountKey(NamedTuple):
    """A key of a provider's or an application's account, and the name or id of the workspace that
    the account belongs to; None: all workspaces share it.
    """

    workspace: str | None
    key: Secret

    @classmethod
    def of(cls, entry: Secret | str) -> AccountKey:
        """Read an entry: `KEY` or `WORKSPACE=KEY`.

        What precedes the first `=` is a name unless it contains a colon (as in user:password) or
        only `=` follow (the end of base64).
        """
        text = entry.reveal() if isinstance(entry, Secret) else entry
        name, _, key = text.partition("=")
        if name.strip() and ":" not in name and key.strip("= "):
            return cls(name.strip(), Secret(key.strip()))
        return cls(None, Secret(text))


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days each kind of data is kept; 0 is for ever.

    `log`: events of enrollments and of contacts. `deliveries`: settled messages of the outbox,
    recorded messages, and the keys by which duplicate events are recognized. `traces`: diagnostic
    data (batch log, rejected lines). `runs`, `failed_runs`: Dagster's runs and ticks. `audit`: the
    audit trail. `contacts`: contacts without activity, which are erased.
    """

    log: int = 0
    deliveries: int = 400
    traces: int = 90
    runs: int = 7
    failed_runs: int = 30
    audit: int = 0
    contacts: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{kind}={days}" for kind, days in asdict(self).items())


def _validator(parse: Callable[[str], object]) -> BeforeValidator:
    def read(value: object) -> object:
        return parse(value) if isinstance(value, str) else value

    return BeforeValidator(read)


def whole_number(low: int, high: int) -> BeforeValidator:
    """Return the validator of a whole number between `low` and `high`, both included."""
    return _validator(lambda text: _number(text, low, high))


def one_of(literal: object) -> BeforeValidator:
    """Return the validator of a Literal type's words, in upper or lower case."""
    allowed: tuple[str, ...] = get_args(literal)

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {text!r}")
        return text.lower()

    return _validator(parse)


def secret_url(*schemes: str) -> BeforeValidator:
    """Return the validator of a URL of one of these schemes that may contain a password."""

    def parse(text: str) -> Secret:
        _check_url(text, schemes)
        return Secret(text)

    return _validator(parse)


def postgres_url() -> BeforeValidator:
    """Return the validator of a PostgreSQL URL, with one or several hosts.

    Refuses what libpq would read otherwise than meant or quote in an error: an unencoded character
    in the password.
    """

    def parse(text: str) -> Secret:
        check_postgres_url(text)
        return Secret(text)

    return _validator(parse)


def check_postgres_url(text: str) -> None:
    """Raise ValueError, with a predicate, for a URL that `postgres_url` refuses."""
    # The messages do not quote the value: it may contain a password.
    schemes = " or ".join(("postgresql://", "postgres://"))
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _POSTGRES_SCHEMES:
        raise ValueError(f"must begin with {schemes}")
    if _UNENCODED.search(text):
        raise ValueError("contains a blank or a control character; encode a blank as %20")
    if _BARE_PERCENT.search(text):
        raise ValueError("contains a % that begins no code such as %40; encode % itself as %25")
    if "#" in rest:
        raise ValueError("contains a #; encode it as %23")
    authority, tail = _AUTHORITY.fullmatch(rest).groups()  # type: ignore[union-attr]
    login, at, hosts = authority.rpartition("@")
    if "@" in login:
        raise ValueError("contains more than one @; encode @ in the password as %40")
    is_host_list = all(_HOST.fullmatch(host) for host in hosts.split(","))
    if not at and ":" in hosts and ("@" in tail or not is_host_list):
        raise ValueError("is not a URL; encode / ? @ in the password as %2F %3F %40")
    try:
        urlsplit(text)
    except ValueError:
        is_host_list = False
    if not is_host_list:
        raise ValueError("is not a URL; it names no host and port")


def _number(text: str, low: int, high: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, not {text!r}") from None
    if not low <= number <= high:
        raise ValueError(f"must lie between {low} and {high}, not {number}")
    return number


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _secrets(text: str) -> tuple[Secret, ...]:
    return tuple(Secret(part.strip()) for part in text.split(",") if part.strip())


def _check_url(text: str, schemes: tuple[str, ...]) -> None:
    # The messages do not quote the value: it may contain a password.
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")


def _base_url(text: str) -> str:
    _check_url(text, ("http", "https"))
    if not urlsplit(text).hostname:
        raise ValueError("must name a host, as in https://mail.example.com")
    return text.rstrip("/")


def _cron(text: str) -> str:
    from croniter import croniter  # type: ignore[import-untyped]

    if len(text.split()) != _CRON_FIELDS or not croniter.is_valid(text):
        raise ValueError("must be a cron expression of five fields, as in 0 6 * * *")
    return text


def _retention(text: str) -> Retention:
    days: dict[str, int] = {}
    kinds = tuple(field.name for field in fields(Retention))
    for word in _words(text):
        kind, _, number = word.partition("=")
        if kind not in kinds:
            raise ValueError(f"knows {', '.join(kinds)}, not {kind!r}")
        try:
            days[kind] = _number(number, 0, 36_500)
        except ValueError as error:
            raise ValueError(f"({kind}) {error}") from None
    if 0 < days.get("log", 0) < SHORTEST_LOG_DAYS:
        raise ValueError(f"(log) must be 0 or at least {SHORTEST_LOG_DAYS}")
    if 0 < days.get("contacts", 0) < SHORTEST_LOG_DAYS:
        raise ValueError(f"(contacts) must be 0 or at least {SHORTEST_LOG_DAYS}")
    return Retention(**days)


SecretText = Annotated[Secret, _validator(Secret)]
Secrets = Annotated[tuple[Secret, ...], _validator(_secrets)]
"""Several secrets, separated by commas: an old and a new one while a secret is being changed, or
those of several accounts."""
Words = Annotated[tuple[str, ...], _validator(_words)]
"""Words, separated by commas or blanks."""
Folder = Annotated[Path, _validator(lambda text: Path(text).expanduser().absolute())]
BaseUrl = Annotated[str, _validator(_base_url)]
"""The base of links, without a slash at the end."""
Cron = Annotated[str, _validator(_cron)]
RetentionDays = Annotated[Retention, _validator(_retention)]
"""Days by kind of data, as in `log=760, deliveries=400`."""


def stored_key(path: Path) -> str:
    """Return the key in this file, readable by its owner only; create it first if it is missing."""
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
