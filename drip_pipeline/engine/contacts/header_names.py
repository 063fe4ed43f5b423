"""The meaning of column headers: contact fields, and columns that say who must not get messages.

Headers of exports of other tools (Mailchimp, Brevo, HubSpot, Klaviyo, Salesforce, Shopify …) are
compared in a plain form: lower case, without accents, words joined by `_`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

CONTACT_FIELDS: Final = (
    "email", "name", "company", "phone", "job_title", "ai_score", "status", "tags",
    "last_interaction", "unsubscribed", "custom_fields",
)  # fmt: skip
NAME_PARTS: Final = ("first_name", "last_name", "timezone")
"""Custom fields that have one name however the file spells it."""

SYNONYMS: Final[Mapping[str, str]] = {"company_name": "company", "lead_score": "ai_score"}
"""Other names of a field; a file with both is refused."""

_VARIANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": (
        "email_address", "e_mail", "e_mail_address", "emailaddress", "primary_email",
        "email_adresse", "e_mail_adresse", "emailadresse", "adresse_email", "adresse_e_mail",
        "courriel", "correo_electronico", "indirizzo_email", "indirizzo_e_mail",
    ),
    "name": ("full_name", "fullname", "contact_name"),
    "company": ("organization", "organisation", "organization_name", "firma"),
    "phone": (
        "phone_number", "phonenumber", "mobile", "mobile_phone", "mobile_number",
        "mobile_phone_number", "cell_phone", "telephone", "sms", "sms_number",
    ),
    "job_title": ("jobtitle",),
    "tags": ("tag_list",),
    "first_name": ("firstname", "fname", "given_name", "vorname", "prenom"),
    "last_name": ("lastname", "lname", "surname", "family_name", "nachname"),
    "timezone": ("time_zone", "timezone_name"),
}  # fmt: skip
VARIANTS: Final[Mapping[str, str]] = {
    variant: field for field, variants in _VARIANTS.items() for variant in variants
}
"""Spellings of exports. Where the file has the field itself, such a column is a custom field."""

Reading = Literal["refusal", "consent", "status"]


@dataclass(frozen=True, slots=True)
class ConsentColumn:
    """How a column says no: a yes in a refusal, a no in a consent, or a word in a status.

    `channel` is None for all channels; `reason` is that of the suppression.
    """

    reading: Reading
    channel: Literal["email", "sms"] | None
    reason: str = "unsubscribed"


_REFUSALS: Final = (
    "is_unsubscribed", "unsubscribe", "unsub", "opted_out", "opt_out", "optout", "optedout",
    "is_opted_out", "has_opted_out", "do_not_contact", "donotcontact", "dnc", "blacklisted",
    "is_blacklisted", "blocklisted", "is_blocklisted", "blacklist", "blocklist", "suppressed",
    "unsub_time", "unsub_date", "unsubscribed_at", "unsubscribed_on", "unsubscribed_date",
    "unsubscribed_time", "unsubscribe_date", "unsubscribe_time", "unsubscription_date",
    "date_unsubscribed", "opt_out_date", "opt_out_time", "optout_date", "optout_time",
    "opted_out_at", "unsub_timestamp", "abgemeldet", "desabonne", "unsubscribed_from_all",
)  # fmt: skip
_EMAIL_REFUSALS: Final = (
    "email_blacklisted", "email_blocklisted", "blacklisted_email", "email_blacklist",
    "email_blocklist", "donotemail", "do_not_email", "dont_email", "donotbulkemail",
    "do_not_bulk_email", "email_opt_out", "email_optout", "email_opted_out", "opted_out_email",
    "opted_out_of_email", "has_opted_out_of_email", "hasoptedoutofemail",
    "unsubscribed_from_all_email", "unsubscribed_from_email", "email_unsubscribed",
    "unsubscribed_email", "email_unsubscribed_at", "email_suppressed", "do_not_mail_email",
)  # fmt: skip
_SMS_REFUSALS: Final = (
    "sms_blacklisted", "sms_blocklisted", "sms_blacklist", "sms_opt_out", "sms_optout",
    "sms_opted_out", "sms_unsubscribed", "unsubscribed_from_sms", "do_not_sms", "donotsms",
    "do_not_text", "opted_out_of_sms", "sms_suppressed",
)  # fmt: skip
_BOUNCES: Final = (
    "bounced", "is_bounced", "hard_bounced", "hard_bounce", "bounced_at", "bounce_date",
    "bounced_date", "hard_bounced_at", "cleaned", "clean_time", "cleaned_at", "cleaned_date",
    "email_bounced", "emailbounceddate", "email_bounced_date", "email_hard_bounced",
)  # fmt: skip
_COMPLAINTS: Final = (
    "complained", "complaint", "spam_complaint", "complained_at", "complaint_date",
    "marked_as_spam", "reported_spam", "spam_complaint_date", "spam_report", "abuse_report",
)  # fmt: skip
_EMAIL_CONSENTS: Final = (
    "email_marketing_consent", "email_consent", "accepts_email_marketing", "accepts_marketing",
    "marketing_consent", "accepts_email", "email_opt_in", "email_optin", "email_opted_in",
    "email_marketing_opt_in", "email_permission", "email_subscribed", "marketing_opt_in",
    "consent_to_email", "newsletter_consent", "subscribed_to_email", "can_be_emailed",
)  # fmt: skip
_SMS_CONSENTS: Final = (
    "sms_marketing_consent", "sms_consent", "accepts_sms_marketing", "sms_opt_in", "sms_optin",
    "sms_opted_in", "sms_subscribed", "sms_permission", "consent_to_sms",
)  # fmt: skip
_STATUSES: Final = (
    "status", "email_status", "subscription_status", "subscriber_status", "subscribe_status",
    "member_status", "contact_status", "mailing_status", "marketing_status", "email_state",
    "email_marketing_status", "email_subscription_status", "email_marketing_state",
    "subscription_state", "subscriber_state", "opt_in_status", "optin_status", "consent_status",
    "marketing_contact_status",
)  # fmt: skip
_CONSENT_COLUMNS: Final[Mapping[str, ConsentColumn]] = {
    "unsubscribed": ConsentColumn("refusal", None),
    **dict.fromkeys(_REFUSALS, ConsentColumn("refusal", None)),
    **dict.fromkeys(_EMAIL_REFUSALS, ConsentColumn("refusal", "email")),
    **dict.fromkeys(_SMS_REFUSALS, ConsentColumn("refusal", "sms")),
    **dict.fromkeys(_BOUNCES, ConsentColumn("refusal", "email", "bounced")),
    **dict.fromkeys(_COMPLAINTS, ConsentColumn("refusal", "email", "complained")),
    **dict.fromkeys(_EMAIL_CONSENTS, ConsentColumn("consent", "email")),
    **dict.fromkeys(_SMS_CONSENTS, ConsentColumn("consent", "sms")),
    **dict.fromkeys(_STATUSES, ConsentColumn("status", None)),
    "sms_status": ConsentColumn("status", "sms"),
    "sms_marketing_status": ConsentColumn("status", "sms"),
}


def plain_name(header: str) -> str:
    """Return a header in lower case, without accents and invisible characters, words joined by `_`.

    Letters of other scripts are kept.
    """
    return _plain(header)


@lru_cache(maxsize=4096)
def _plain(header: str) -> str:
    folded = unicodedata.normalize("NFKD", header).casefold()
    kept = "".join(c for c in folded if unicodedata.category(c) not in ("Mn", "Cf"))
    return re.sub(r"[\s\-./]+", "_", kept.strip()).strip("_:*?!")


def contact_field(header: str) -> str | None:
    """Return the contact field that a header names in any spelling, or None."""
    plain = plain_name(header)
    field = SYNONYMS.get(plain) or VARIANTS.get(plain, plain)
    return field if field in CONTACT_FIELDS or field in NAME_PARTS else None


def consent_column(header: str) -> ConsentColumn | None:
    """Return how a column of this header says no, or None for any other column."""
    return _CONSENT_COLUMNS.get(plain_name(header))
