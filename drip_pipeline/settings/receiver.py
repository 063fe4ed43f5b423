"""The settings of what comes in over HTTP; the others stand in settings.py, which reads all."""

from __future__ import annotations

from typing import Final

from drip_pipeline.settings.kinds import Setting, secrets_of, words

RECEIVER_SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "DRIP_TRACKING",
        "tracking",
        "opens, clicks",
        "opens, clicks or none",
        "What emails in HTML are watched for by links of our own; only where DRIP_PUBLIC_URL and "
        "DRIP_SECRET_KEY are set. Choose none where the provider does it.",
        words,
    ),
    Setting(
        "DRIP_SNS_TOPICS",
        "sns_topics",
        "none: no events of Amazon SES are taken",
        "ARNs, separated by commas",
        "The topics over which Amazon SES reports to /events/ses. Their subscriptions are "
        "confirmed, those of others are not.",
        words,
    ),
    Setting(
        "DRIP_SENDGRID_KEYS",
        "sendgrid_keys",
        "none: no events of SendGrid are taken",
        "public keys in base64, separated by commas",
        "Verification keys of the signed event webhook that reports to /events/sendgrid.",
        words,
    ),
    Setting(
        "DRIP_POSTMARK_LOGINS",
        "postmark_logins",
        "none: no events of Postmark are taken",
        "user:password, separated by commas",
        "What Postmark's webhooks to /events/postmark log in with: put it into their URL, as in "
        "https://user:password@mail.example.com/events/postmark.",
        secrets_of,
        is_secret=True,
    ),
    Setting(
        "DRIP_MAILGUN_KEYS",
        "mailgun_keys",
        "none: no events of Mailgun are taken",
        "texts, separated by commas",
        "Signing keys of the webhooks that report to /events/mailgun.",
        secrets_of,
        is_secret=True,
    ),
    Setting(
        "DRIP_TWILIO_TOKENS",
        "twilio_tokens",
        "none: no reports and no answers of Twilio are taken",
        "texts, separated by commas",
        "Auth tokens of the accounts whose callbacks come to /events/twilio; their signatures are "
        "checked against the URL under DRIP_PUBLIC_URL.",
        secrets_of,
        is_secret=True,
    ),
    Setting(
        "DRIP_EVENTS_SECRETS",
        "events_secrets",
        "none: no events are taken at /events/generic",
        "texts, separated by commas",
        "Secrets (Standard Webhooks: whsec_ and base64) of shops and applications that send events "
        "of their own to /events/generic.",
        secrets_of,
        is_secret=True,
    ),
    Setting(
        "DRIP_TRIGGER_SECRETS",
        "trigger_secrets",
        "none: no signed calls are taken at /trigger",
        "texts, separated by commas",
        "Secrets (Standard Webhooks: whsec_ and base64) of applications that let people into "
        "campaigns by signed calls.",
        secrets_of,
        is_secret=True,
    ),
    Setting(
        "DRIP_TRIGGER_TOKENS",
        "trigger_tokens",
        "none: no calls with a token are taken at /trigger",
        "texts, separated by commas",
        "Bearer tokens of applications that let people into campaigns and cannot sign.",
        secrets_of,
        is_secret=True,
    ),
    Setting(
        "DRIP_TRUSTED_PROXIES",
        "trusted_proxies",
        "none: a client is whoever connects",
        "addresses or networks, separated by commas",
        "Reverse proxies in front of `drip receive` whose X-Forwarded-For is believed. Without it "
        "all who come through a proxy count as one client.",
        words,
    ),
)
