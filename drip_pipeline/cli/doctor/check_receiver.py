"""Checks of the HTTP receiver for `drip doctor`: provider keys, links in messages, the inbox."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from drip_pipeline.cli.doctor.check_channels import has_database
from drip_pipeline.cli.doctor.check_result import CheckResult
from drip_pipeline.cli.framework.command import Invocation
from drip_pipeline.errors import DripError, SettingsError
from drip_pipeline.settings import LOCAL_URL, AccountKey, Settings

_MAXIMUM_INBOX_AGE: Final = timedelta(minutes=10)
_COUNT_LIMIT: Final = 10_000
_KEYS: Final = (
    "sns_topics",
    "sendgrid_keys",
    "postmark_logins",
    "mailgun_keys",
    "twilio_tokens",
    "events_secrets",
    "trigger_secrets",
    "trigger_tokens",
)


def check_receiver(invocation: Invocation) -> Iterator[CheckResult]:
    """Check the receiver's settings and the inbox. Starts no server."""
    settings = invocation.settings
    yield from _check_keys(settings)
    yield from _check_links(settings)
    if has_database(invocation):
        yield from _check_workspaces(invocation)
        yield from _check_inbox(invocation)


def _check_keys(settings: Settings) -> Iterator[CheckResult]:
    from drip_pipeline.channels.signatures.providers import sendgrid_key
    from drip_pipeline.channels.signatures.standard_webhooks import signing_key

    try:
        for text in settings.sendgrid_keys:
            sendgrid_key(AccountKey.of(text).key.reveal())
        for secret in settings.events_secrets:
            signing_key("DRIP_EVENTS_SECRETS", AccountKey.of(secret).key)
        for secret in settings.trigger_secrets:
            signing_key("DRIP_TRIGGER_SECRETS", AccountKey.of(secret).key)
    except SettingsError as error:
        yield CheckResult("receiver", "failure", str(error), error.hint)
    if any(":" not in AccountKey.of(each).key.reveal() for each in settings.postmark_logins):
        message = "DRIP_POSTMARK_LOGINS contains a login without a colon"
        yield CheckResult("receiver", "failure", message, "Use the form user:password.")
    providers = {
        "Amazon SES": settings.sns_topics,
        "SendGrid": settings.sendgrid_keys,
        "Postmark": settings.postmark_logins,
        "Mailgun": settings.mailgun_keys,
        "Twilio": settings.twilio_tokens,
        "applications": settings.events_secrets,
    }
    configured = ", ".join(name for name, keys in providers.items() if keys)
    yield CheckResult(
        "receiver",
        "ok",
        f"accepts events of {configured}"
        if configured
        else "no provider is configured to send events over HTTP",
    )


def _check_workspaces(invocation: Invocation) -> Iterator[CheckResult]:
    from drip_pipeline.engine.events.resolve_recipients import scope_of

    for field in _KEYS:
        for entry in getattr(invocation.settings, field):
            workspace = AccountKey.of(entry).workspace
            if workspace is None:
                continue
            try:
                scope_of(invocation.database, workspace)
            except DripError as error:
                message = f"DRIP_{field.upper()} names a workspace for a key: {error}"
                hint = "Name the workspace by its id, or omit it: KEY instead of NAME=KEY."
                yield CheckResult("receiver", "failure", message, hint)


def _check_links(settings: Settings) -> Iterator[CheckResult]:
    if settings.public_url == LOCAL_URL:
        return
    if not settings.public_url.startswith("https://"):
        yield CheckResult(
            "receiver",
            "warning",
            "DRIP_PUBLIC_URL is not https: mail programs do not offer one-click unsubscribe",
            "Put a TLS proxy in front of `drip receive`.",
        )
    if settings.secret_key is None:
        yield CheckResult(
            "receiver",
            "warning",
            "DRIP_SECRET_KEY is not set: opens and clicks are not tracked, and links are signed"
            " with a key that exists only on this machine",
            "Set it to a long random text, the same on all machines.",
        )


def _check_inbox(invocation: Invocation) -> Iterator[CheckResult]:
    from drip_pipeline.db.events import inbox as inbox_db

    now = datetime.now(UTC)
    with invocation.database.transaction(is_read_only=True) as connection:
        rows, oldest_at = inbox_db.backlog(connection, now=now, count_limit=_COUNT_LIMIT)
        rejected = len(inbox_db.rejected(connection, None, _COUNT_LIMIT))
    if oldest_at is not None and now - oldest_at > _MAXIMUM_INBOX_AGE:
        since = f"{oldest_at:%Y-%m-%d %H:%M} UTC"
        yield CheckResult(
            "inbox",
            "warning",
            f"{rows:,} payloads are pending, the oldest since {since}",
            "Check that Dagster is running, or run `drip inbox drain`.",
        )
    if rejected:
        yield CheckResult(
            "inbox",
            "warning",
            f"{rejected:,} payloads were rejected",
            "`drip inbox status` shows the reasons, `drip inbox retry` imports them again.",
        )
    if oldest_at is None and not rejected:
        yield CheckResult("inbox", "ok", "no payload is pending or rejected")
