"""Our readers against django-anymail's: for every sample the same kind of event, the same id, and
the same facts.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from django.conf import settings

from drip_pipeline.domain.events.providers import mailgun, postmark, sendgrid, ses
from drip_pipeline.domain.events.providers.common import ParsedPayload
from tests.domain.events.providers import samples

RECEIVED = datetime(2026, 3, 2, 9, 6, tzinfo=UTC)
if not settings.configured:
    settings.configure(ANYMAIL={"MAILGUN_WEBHOOK_SIGNING_KEY": "none"}, USE_TZ=True)

# Its word for a kind of event → ours; None: it means nothing to us.
SAME_KIND: Mapping[str, set[str | None]] = {
    "sent": {None},
    "queued": {None},
    "subscribed": {None, "email_resubscribed"},
    "autoresponded": {None},
    "delivered": {"email_delivered"},
    "bounced": {"email_bounced"},
    "deferred": {"email_deferred"},
    "opened": {"email_opened"},
    "clicked": {"email_clicked"},
    "complained": {"email_complained"},
    "unsubscribed": {"email_unsubscribed"},
    # The provider never sent what it rejected: permanently, or because of its own list.
    "rejected": {"email_failed", "email_suppressed"},
    "failed": {"email_failed"},
}


def theirs(provider: str, sample: Any) -> Any:
    """What anymail makes of a sample."""
    from anymail.webhooks.amazon_ses import AmazonSESTrackingWebhookView
    from anymail.webhooks.mailgun import MailgunTrackingWebhookView
    from anymail.webhooks.postmark import PostmarkTrackingWebhookView
    from anymail.webhooks.sendgrid import SendGridTrackingWebhookView

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if provider == "ses":
            event = orjson.loads(sample["Message"])
            view = object.__new__(AmazonSESTrackingWebhookView)  # making one asks for boto3
            (event,) = view.esp_to_anymail_events(event, sample)
            return event
        if provider == "sendgrid":
            SendGridTrackingWebhookView.tracking_webhook_verification_key = None
        view = {
            "sendgrid": SendGridTrackingWebhookView,
            "postmark": PostmarkTrackingWebhookView,
            "mailgun": MailgunTrackingWebhookView,
        }[provider]
        return view().esp_to_anymail_event(sample)


def ours(provider: str, sample: Any) -> ParsedPayload:
    read = {"ses": ses.read, "postmark": postmark.read, "mailgun": mailgun.read}
    if provider == "sendgrid":
        return sendgrid.read(orjson.dumps([sample]), RECEIVED)
    return read[provider](orjson.dumps(sample), RECEIVED)


SAMPLES = [
    *(("ses", name, samples.ses(part)) for name, part in samples.SES_PARTS.items()),
    *(("sendgrid", name, sample) for name, sample in samples.SENDGRID.items()),
    *(("postmark", name, sample) for name, sample in samples.POSTMARK.items()),
    *(("mailgun", name, sample) for name, sample in samples.MAILGUN.items()),
]


@pytest.mark.parametrize(
    ("provider", "sample"),
    [(provider, sample) for provider, _, sample in SAMPLES],
    ids=[f"{provider}: {name}" for provider, name, _ in SAMPLES],
)
def test_both_parse_the_same_event(provider, sample):
    their, reading = theirs(provider, sample), ours(provider, sample)
    assert reading.problems == []
    if not reading.lines:
        assert None in SAME_KIND[their.event_type]
        assert reading.ignored == 1
        return
    (line,) = reading.lines
    assert line["event_type"] in SAME_KIND[their.event_type]
    assert line["email"] == their.recipient
    assert line.get("url") == their.click_url
    if line["event_type"] in ("email_opened", "email_clicked"):
        assert line["user_agent"] == their.user_agent
    occurred_at = str(line["occurred_at"])
    if their.timestamp is not None and "T" in occurred_at:
        assert datetime.fromisoformat(occurred_at) in (their.timestamp, RECEIVED)
    assert str(line["provider_message_id"]).strip("<>") in (their.message_id or "").strip("<>") or (
        provider == "sendgrid"  # it knows the Message-ID, we what the relay answered
    )
    if provider == "mailgun":
        # Anymail takes the signature's token, which may differ when a call is repeated; ours is the
        # event's id with its day, within which Mailgun promises it to be unique.
        assert line["event_id"] == f"{sample['event-data']['id']}:2026-03-02"
    elif their.event_id is not None:
        assert line["event_id"] == their.event_id


@pytest.mark.parametrize(
    ("provider", "sample"),
    [(provider, sample) for provider, _, sample in SAMPLES if ours(provider, sample).lines],
    ids=[f"{provider}: {name}" for provider, name, s in SAMPLES if ours(provider, s).lines],
)
def test_our_message_id_is_preserved_by_the_provider(provider, sample):
    (line,) = ours(provider, sample).lines
    assert line["message_id"] == samples.OURS
