"""Convert a database URL into the form that each library needs.

SQLAlchemy 2.1 uses psycopg 3 for `postgresql://`, with which Dagster's storage fails at its first
event; so the driver is always explicit.
"""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

from drip_pipeline.errors import SettingsError

_SCHEMES = {"postgresql", "postgres"}


def libpq_url(url: str) -> str:
    """Return the URL for psycopg, psql and libpq: `postgresql://…`.

    Raises SettingsError if it is not a PostgreSQL URL.
    """
    return _with_scheme(url, "postgresql")


def dagster_url(url: str) -> str:
    """Return the URL for Dagster's storage, which needs psycopg 2: `postgresql+psycopg2://…`."""
    return _with_scheme(url, "postgresql+psycopg2")


def with_database(url: str, name: str) -> str:
    """Return the URL of another database on the same server, with the same user."""
    parts = urlsplit(url)
    return _joined(parts.scheme, parts.netloc, quote(name, safe=""), parts.query)


def database_name(url: str) -> str:
    """Return the database name of a URL, '' if it has none."""
    return unquote(urlsplit(url).path.lstrip("/"))


def without_password(url: str) -> str:
    """Return the URL with the password replaced by `***`, in the authority and in the query."""
    parts = urlsplit(url)
    authority = parts.netloc
    if "@" in authority:
        user, _, host = authority.rpartition("@")
        name, colon, _password = user.partition(":")
        authority = f"{name}:***@{host}" if colon else f"{name}@{host}"
    shown = [
        "password=***" if item.startswith("password=") else item for item in parts.query.split("&")
    ]
    return _joined(parts.scheme, authority, parts.path.lstrip("/"), "&".join(shown))


def _with_scheme(url: str, scheme: str) -> str:
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in _SCHEMES:
        raise SettingsError(
            "DRIP_DATABASE_URL", "must begin with postgresql:// and name host and database"
        )
    return _joined(scheme, parts.netloc, parts.path.lstrip("/"), parts.query)


def _joined(scheme: str, authority: str, database: str, query: str) -> str:
    # urlunsplit would drop the empty authority of `postgresql:///name?host=/socket/folder`.
    tail = f"?{query}" if query else ""
    return f"{scheme}://{authority}/{database}{tail}"
