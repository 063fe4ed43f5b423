"""Checks of what comes in over HTTP, for `drip doctor`: who may report, whether links work and are
counted, and whether the inbox is drained.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from drip_pipeline.cli.doctor.check_channels import has_database
from drip_pipeline.cli.doctor.check_result import CheckResult
from drip_pipeline.cli.framework.command import Invocation
from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import LOCAL_URL, Settings

_DRAINED_WITHIN: Final = timedelta(minutes=10)
_COUNTED_AT_MOST: Final = 10_000


def check_receiver(invocation: Invocation) -> Iterator[CheckResult]:
    """Nothing is called and nothing started for it."""
    settings = invocation.settings
    yield from _keys(settings)
    yield from _links(settings)
    if has_database(invocation):
        yield from _inbox(invocation)


def _keys(settings: Settings) -> Iterator[CheckResult]:
    from drip_pipeline.channels.signatures.providers import sendgrid_key
    from drip_pipeline.channels.signatures.standard_webhooks import signing_key

    try:
        for text in settings.sendgrid_keys:
            sendgrid_key(text)
        for each in settings.events_secrets:
            signing_key("DRIP_EVENTS_SECRETS", each)
        for each in settings.trigger_secrets:
            signing_key("DRIP_TRIGGER_SECRETS", each)
    except SettingsError as error:
        yield CheckResult("receiver", "failure", str(error), error.hint)
    if any(":" not in login.reveal() for login in settings.postmark_logins):
        told = "DRIP_POSTMARK_LOGINS holds a login without a colon"
        yield CheckResult("receiver", "failure", told, "Write it as user:password.")
    taken = {
        "Amazon SES": settings.sns_topics,
        "SendGrid": settings.sendgrid_keys,
        "Postmark": settings.postmark_logins,
        "Mailgun": settings.mailgun_keys,
        "Twilio": settings.twilio_tokens,
        "applications": settings.events_secrets,
    }
    named = ", ".join(name for name, given in taken.items() if given)
    told = f"events of {named} are taken" if named else "no provider reports over HTTP"
    yield CheckResult("receiver", "ok", told)


def _links(settings: Settings) -> Iterator[CheckResult]:
    if settings.public_url == LOCAL_URL:
        return
    if not settings.public_url.startswith("https://"):
        yield CheckResult(
            "receiver",
            "warning",
            "DRIP_PUBLIC_URL is not https: mail programs do not unsubscribe by one click over it",
            "Put a proxy with TLS in front of `drip receive`.",
        )
    if settings.secret_key is None:
        yield CheckResult(
            "receiver",
            "warning",
            "DRIP_SECRET_KEY is not set: opens and clicks are not counted, and links are signed "
            "by a key that this machine alone knows",
            "Set it to a long random text, the same for all machines.",
        )


def _inbox(invocation: Invocation) -> Iterator[CheckResult]:
    from drip_pipeline.db.events import inbox as inbox_db

    now = datetime.now(UTC)
    with invocation.database.transaction(is_read_only=True) as connection:
        rows, oldest_at = inbox_db.ahead(connection, now=now, count_limit=_COUNTED_AT_MOST)
        rejected = len(inbox_db.rejected(connection, None, _COUNTED_AT_MOST))
    if oldest_at is not None and now - oldest_at > _DRAINED_WITHIN:
        since = f"{oldest_at:%Y-%m-%d %H:%M} UTC"
        yield CheckResult(
            "inbox",
            "warning",
            f"{rows:,} payloads wait to be taken in, the oldest since {since}",
            "Is Dagster running? `drip inbox drain` takes them in.",
        )
    if rejected:
        yield CheckResult(
            "inbox",
            "warning",
            f"{rejected:,} payloads could not be taken",
            "`drip inbox status` says why, `drip inbox retry` tries again.",
        )
    if oldest_at is None and not rejected:
        yield CheckResult("inbox", "ok", "nothing waits in the inbox")
