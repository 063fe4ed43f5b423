"""The event vocabulary: all event types with source, channel and short names; and the rule of names
that an organization gives to its own events.

One list for validation, ingestion and the `campaign_event_types` table. Storing events and applying
their effects belong to db/ and engine/.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

EVENT_SOURCES: Final = ("system", "email_provider", "webhook", "manual")


@dataclass(frozen=True, slots=True)
class EventType:
    """One event type.

    `provider`: may arrive from outside (events file, provider webhook). `engine`: written by the
    engine itself. `contact_level`: meaningful without an enrollment (a purchase), so that it may be
    stored with the contact only.
    """

    name: str
    channel: str
    source: str
    description: str
    provider: bool = False
    engine: bool = False
    contact_level: bool = False


def _engine(name: str, channel: str, description: str) -> EventType:
    return EventType(name, channel, "system", description, engine=True)


def _provider(name: str, channel: str, source: str, description: str) -> EventType:
    return EventType(name, channel, source, description, provider=True)


def _both(name: str, channel: str, description: str) -> EventType:
    return EventType(name, channel, "system", description, provider=True, engine=True)


def _contact(name: str, description: str, *, engine: bool = False) -> EventType:
    return EventType(
        name, "contact", "webhook", description, provider=True, engine=engine, contact_level=True
    )


_MAIL: Final = "email_provider"
_HOOK: Final = "webhook"

_VOCABULARY: Final = (
    _engine("email_sent", "email", "handed to the provider"),
    _provider("email_delivered", "email", _MAIL, "accepted by the recipient's server"),
    _provider("email_opened", "email", _MAIL, "the tracking pixel was loaded"),
    _provider("email_clicked", "email", _MAIL, "a link was followed"),
    _provider("email_replied", "email", _MAIL, "the recipient answered"),
    _provider("email_bounced", "email", _MAIL, "returned by the recipient's server"),
    _provider("email_unsubscribed", "email", _MAIL, "the recipient unsubscribed"),
    _provider("email_resubscribed", "email", _MAIL, "the recipient subscribed again"),
    _provider("email_complained", "email", _MAIL, "the recipient reported spam"),
    _provider("email_deferred", "email", _MAIL, "the recipient's server asked to wait"),
    _both("email_failed", "email", "not sent, permanently"),
    _both("email_suppressed", "email", "not sent: the address is on a suppression list"),
    _engine("sms_sent", "sms", "handed to the provider"),
    _provider("sms_delivered", "sms", _HOOK, "arrived on the phone"),
    _provider("sms_replied", "sms", _HOOK, "the recipient answered"),
    _both("sms_failed", "sms", "not sent or not delivered, permanently"),
    _provider("sms_opted_out", "sms", _HOOK, "the recipient answered STOP"),
    _provider("sms_opted_in", "sms", _HOOK, "the recipient asked for messages again"),
    _engine("social_posted", "social", "the post was published"),
    _provider("social_engaged", "social", _HOOK, "somebody liked, shared or answered the post"),
    _both("social_failed", "social", "the post could not be published"),
    _engine("webhook_triggered", "webhook", "the call was made"),
    _engine("webhook_succeeded", "webhook", "the call was accepted"),
    _engine("webhook_failed", "webhook", "the call was refused, permanently"),
    _engine("tag_added", "action", "a tag was added to the contact"),
    _engine("tag_removed", "action", "a tag was taken from the contact"),
    _engine("score_updated", "action", "the contact's score was changed"),
    _engine("field_updated", "action", "a field of the contact was changed"),
    _engine("condition_evaluated", "workflow", "a condition chose a branch"),
    _engine("wait_started", "workflow", "a wait began"),
    _engine(
        "wait_moved",
        "workflow",
        "a wait ends at another time because its contact changed; the time is in its data",
    ),
    _engine("wait_completed", "workflow", "a wait ended"),
    _engine(
        "message_held",
        "workflow",
        "a message waits because of a rule; the rule and the time are in its data",
    ),
    _engine("message_skipped", "workflow", "a message was not sent; the reason is in its data"),
    _engine("retry_scheduled", "workflow", "a step failed temporarily and will be retried"),
    _engine("variant_assigned", "ab_test", "a split assigned a variant"),
    _engine("ab_test_decided", "ab_test", "a test ended with a decision"),
    _engine("enrollment_started", "lifecycle", "the contact was enrolled"),
    _engine("enrollment_completed", "lifecycle", "the contact reached the end"),
    _engine("enrollment_exited", "lifecycle", "the contact exited before the end"),
    _engine("enrollment_failed", "lifecycle", "the run failed after its last retry"),
    _engine("enrollment_migrated", "lifecycle", "the enrollment was migrated to another version"),
    _engine("goal_reached", "lifecycle", "the contact reached the campaign's goal"),
    _contact("converted", "the contact reached the conversion goal", engine=True),
    _contact("purchase", "the contact bought something"),
    _contact("page_view", "the contact looked at a page"),
    _contact("form_submitted", "the contact sent a form"),
    _contact("signed_up", "the contact created an account"),
    _contact("logged_in", "the contact logged in"),
    _contact("trial_started", "the contact started a trial"),
    _contact("subscription_started", "the contact subscribed to a plan"),
    _contact("subscription_cancelled", "the contact ended a plan"),
    _contact("cart_abandoned", "the contact left a cart behind"),
    _contact("meeting_booked", "the contact booked a meeting"),
    _engine(
        "topic_requested",
        "contact",
        "the contact is asked to confirm a topic; the topic is in its data",
    ),
    _contact(
        "topic_subscribed",
        "the contact joined a topic, which is in its data",
        engine=True,
    ),
    _contact("topic_unsubscribed", "the contact left a topic, which is in its data", engine=True),
    _contact("custom_event", "anything else; its name is in the event's data"),
)

EVENT_TYPES: Final[Mapping[str, EventType]] = {kind.name: kind for kind in _VOCABULARY}
PROVIDER_EVENT_TYPES: Final = frozenset(kind.name for kind in _VOCABULARY if kind.provider)
ENGINE_EVENT_TYPES: Final = frozenset(kind.name for kind in _VOCABULARY if kind.engine)
CONTACT_EVENT_TYPES: Final = frozenset(kind.name for kind in _VOCABULARY if kind.contact_level)
MESSAGE_EVENT_CHANNELS: Final[Mapping[str, str]] = {
    kind.name: kind.channel
    for kind in _VOCABULARY
    if kind.provider
    and not kind.engine
    and kind.channel in ("email", "sms")
    and kind.name not in ("email_resubscribed", "sms_opted_in")
}
"""Event types that belong to one sent message, with its channel; subscribing again does not. Waits
and conditions compare them by message and not by time; `message_channel_of` in the database has the
same list.
"""
GOAL_EVENT_TYPES: Final = CONTACT_EVENT_TYPES - {"converted"}
"""Event types that can be the goal of a campaign: a contact with such an event within the goal's
time window has converted.
"""
TOPIC_EVENT_TYPES: Final = frozenset({"topic_subscribed", "topic_unsubscribed"})
"""Events by which a contact joins or leaves a topic of its workspace."""
SUPPRESSING_EVENT_TYPES: Final = frozenset(
    {
        "email_unsubscribed",
        "email_complained",
        "email_bounced",
        "email_suppressed",
        "sms_opted_out",
        "email_resubscribed",
        "sms_opted_in",
    }
)
"""Event types that can put a recipient on a suppression list or take one off it."""

_SHORT_NAMES: Final = {
    "sent": ("send",),
    "delivered": ("delivery", "deliver"),
    "opened": ("open",),
    "clicked": ("click",),
    "replied": ("reply", "answered"),
    "bounced": ("bounce",),
    "unsubscribed": ("unsubscribe",),
    "resubscribed": ("resubscribe",),
    "complained": ("complaint", "complain", "spam"),
    "deferred": ("defer", "deferral"),
    "failed": ("fail", "failure"),
    "suppressed": ("suppress", "suppression", "dropped"),
}


def _aliases() -> dict[str, str]:
    names: dict[str, str] = {}
    for action, shorts in _SHORT_NAMES.items():
        mail = f"email_{action}"
        names[action] = mail
        for short in shorts:
            names[short] = mail
            for channel in ("email", "sms"):
                if f"{channel}_{action}" in EVENT_TYPES:
                    names[f"{channel}_{short}"] = f"{channel}_{action}"
    names |= {
        "spam_complaint": "email_complained",
        "sms_stop": "sms_opted_out",
        "sms_opt_out": "sms_opted_out",
        "sms_unsubscribed": "sms_opted_out",
        "group_resubscribe": "email_resubscribed",
        "sms_start": "sms_opted_in",
        "sms_opt_in": "sms_opted_in",
        "sms_resubscribed": "sms_opted_in",
        "social_post": "social_posted",
        "social_engagement": "social_engaged",
        "conversion": "converted",
        "convert": "converted",
        "goal": "goal_reached",
        "purchased": "purchase",
        "order": "purchase",
        "page_viewed": "page_view",
        "pageview": "page_view",
        "form_submit": "form_submitted",
        "signup": "signed_up",
        "login": "logged_in",
    }
    return names


EVENT_ALIASES: Final[Mapping[str, str]] = _aliases()


def normalize_event_type(name: str) -> str:
    """Return the event type for a name: `email_open`, `Open` and `opened` are all `email_opened`.

    A name that is not in the vocabulary is returned trimmed, in lower case and with `_` for blanks
    and dashes; dots are part of such a name. Use `is_known_event_type` and `is_own_event_name` to
    distinguish. Idempotent.
    """
    cleaned = re.sub(r"[\s\-]+", "_", name.strip().lower())
    of_the_vocabulary = re.sub(r"[_.]*\.[_.]*", "_", cleaned)
    if of_the_vocabulary in EVENT_TYPES:
        return of_the_vocabulary
    return EVENT_ALIASES.get(of_the_vocabulary, cleaned)


def is_known_event_type(name: str) -> bool:
    """Return whether `name`, short names included, is in the vocabulary."""
    return normalize_event_type(name) in EVENT_TYPES


_OWN_NAME: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}")
OWN_NAME_RULE: Final = (
    "lower-case letters, digits, _ and ., beginning with a letter, at most 64 characters"
)


def is_own_event_name(name: str) -> bool:
    """Return whether `name` can be the name of an organization's own event: well-formed, and
    neither in the vocabulary nor a short name there.
    """
    normalized = normalize_event_type(name)
    return normalized not in EVENT_TYPES and _OWN_NAME.fullmatch(normalized) is not None


def event_type_named(name: str) -> str:
    """Return the event type that a campaign file names: one of the vocabulary, or an own name.

    Raises ValueError if it can be neither.
    """
    normalized = normalize_event_type(name)
    if normalized in EVENT_TYPES or is_own_event_name(normalized):
        return normalized
    raise ValueError(f"an event name has {OWN_NAME_RULE}")


def suggest_event_type(name: str, own_names: Iterable[str] = ()) -> str | None:
    """Return the event type that is most similar to `name`, or None if none is similar.

    `own_names`: names of own events that are known besides the vocabulary.
    """
    cleaned = normalize_event_type(name)
    names = [*own_names, *EVENT_TYPES, *EVENT_ALIASES]
    near = difflib.get_close_matches(cleaned, names, n=1, cutoff=0.6)
    return normalize_event_type(near[0]) if near else None


EVENT_CLOCK_TOLERANCE = timedelta(minutes=2)
"""Tolerance for clocks of providers: an open up to this long "before" its own sending counts."""
