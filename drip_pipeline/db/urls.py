"""Convert a database URL into the form that each library needs.

SQLAlchemy 2.1 uses psycopg 3 for `postgresql://`, with which Dagster's storage fails at its first
event; so the driver is always explicit.
"""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

from drip_pipeline.errors import SettingsError
from drip_pipeline.settings.kinds import check_postgres_url

_PASSWORDS = frozenset({"password", "sslpassword", "oauth_client_secret"})
"""Parameters in a URL's query that are secret."""
_SHORTEST_PASSWORD = 3


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
        f"{name}=***" if unquote(name) in _PASSWORDS else f"{name}{equals}{value}"
        for name, equals, value in (item.partition("=") for item in parts.query.split("&"))
    ]
    return _joined(parts.scheme, authority, parts.path.lstrip("/"), "&".join(shown))


def hide_passwords(text: str, url: str) -> str:
    """Return an error's text with every password of the URL replaced by `***`, encoded or not."""
    parts = urlsplit(url)
    passwords = [parts.netloc.rpartition("@")[0].partition(":")[2]]
    for item in parts.query.split("&"):
        name, _, value = item.partition("=")
        if unquote(name) in _PASSWORDS:
            passwords.append(value)
    secrets = {form for password in passwords for form in (password, unquote(password))}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_PASSWORD:
            text = text.replace(secret, "***")
    return text


def _with_scheme(url: str, scheme: str) -> str:
    try:
        check_postgres_url(url)
    except ValueError as problem:
        raise SettingsError("DRIP_DATABASE_URL", str(problem)) from None
    parts = urlsplit(url)
    return _joined(scheme, parts.netloc, parts.path.lstrip("/"), parts.query)


def _joined(scheme: str, authority: str, database: str, query: str) -> str:
    # urlunsplit would drop the empty authority of `postgresql:///name?host=/socket/folder`.
    tail = f"?{query}" if query else ""
    return f"{scheme}://{authority}/{database}{tail}"
