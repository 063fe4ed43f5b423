"""The configuration of a row of campaign_channels (`specs`): provider, limits, names of secrets.

The secrets themselves are in environment variables. Choosing the row of a step and building
channels belong to engine/transports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import PydanticCustomError

from drip_pipeline.errors import ChannelUnavailable

UnknownPolicy = Literal["assume_sent", "retry", "hold"]
RejectedPolicy = Literal["fail", "continue"]

_VARIABLE: Final = re.compile("[A-Z][A-Z0-9_]{0,99}")


def _variable(name: str) -> str:
    if _VARIABLE.fullmatch(name) is None:
        # The value is not quoted: it may be the secret itself by mistake.
        raise PydanticCustomError(
            "secret_name", "must be the name of an environment variable, as in ACME_TOKEN"
        )
    # Users that may write channel rows must not read the engine's own secrets by naming them.
    if name.startswith(("DRIP_", "PG")):
        raise PydanticCustomError(
            "secret_reserved", "{name} is reserved for the engine; use another name", {"name": name}
        )
    return name


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_048)]
SecretName = Annotated[Text, AfterValidator(_variable)]
Rate = Annotated[float, Field(gt=0, le=1_000_000)]


class ChannelConfig(BaseModel):
    """Settings common to all channels: rate limits, retries and circuit breaker.

    `per_second`, `per_hour`: messages, over all processes (default: no limit). `concurrency`:
    messages in progress at once. `max_retries`: attempts after the first; then the message is a
    dead letter. `on_unknown`: policy for an unknown outcome: assume_sent (after a grace time),
    retry (may send twice if the provider does not recognize repeats) or hold (until an operator
    decides); the default is retry if the provider recognizes repeats, otherwise assume_sent. The
    breaker opens for `breaker_open_seconds` after `breaker_failures` failures in a row, or when
    `breaker_failure_pct` of a minute's messages fail. `requires_consent`: send only to contacts
    whose custom field `consent_<channel>` is yes. Unknown keys are kept because other applications
    may use the same column.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    per_second: Rate | None = None
    per_hour: Rate | None = None
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    max_retries: Annotated[int, Field(ge=0, le=50)] = 3
    on_unknown: UnknownPolicy | None = None
    breaker_failures: Annotated[int, Field(ge=1, le=10_000)] = 5
    breaker_failure_pct: Annotated[float, Field(gt=0, le=100)] = 50
    breaker_open_seconds: Annotated[float, Field(ge=0.1, le=86_400)] = 30
    requires_consent: bool = False

    def unread_keys(self) -> tuple[str, ...]:
        """Return the unknown keys: another application's, or misspelled."""
        return tuple(sorted(self.model_extra or {}))


class EmailChannelConfig(ChannelConfig):
    """An SMTP relay.

    `smtp_url_env` names the variable with its smtp:// or smtps:// URL (default: DRIP_SMTP_URL).
    `from` is the sender, `reply_to` the address of replies, `bounce_domain` the domain of bounces
    (default: the sender's). `relay` is the provider, for the headers that make its events carry our
    message ids (default: derived from the host name).
    """

    smtp_url_env: SecretName | None = None
    mail_from: Annotated[Text | None, Field(alias="from")] = None
    reply_to: Text | None = None
    bounce_domain: Text | None = None
    relay: Literal["ses", "sendgrid", "postmark", "mailgun", "other"] | None = None
    connections: Annotated[int, Field(ge=1, le=100)] = 4


class SmsChannelConfig(ChannelConfig):
    """An account with Twilio, or with a provider that has the same REST API at `base_url`.

    The sender is `from` (a number or a name) or `messaging_service_sid`. `status_callback_url`:
    where the provider reports the status of each message; `message_id` is added to it.
    """

    provider: Literal["twilio"] = "twilio"
    base_url: Text = "https://api.twilio.com"
    account_sid: Text
    auth_token_env: SecretName
    sender: Annotated[Text | None, Field(alias="from")] = None
    messaging_service_sid: Text | None = None
    status_callback_url: Text | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 15


class WebhookChannelConfig(ChannelConfig):
    """Settings of webhook calls.

    `secret_env` names the secret that signs calls (Standard Webhooks, `whsec_…`). `secret_headers`
    maps header names to variables (`{"Authorization": "CRM_AUTH"}`); they are sent to `hosts` only,
    so that no campaign can send them to another host. `on_rejected`: what a redirect (which is
    never followed) or a status 4xx that repeating cannot change means for the enrollment: fail
    (default; `drip requeue` repeats the call) or continue (the failed delivery and its event
    remain, and the enrollment goes on to the next node).
    """

    secret_env: SecretName | None = None
    secret_headers: dict[Text, SecretName] = Field(default_factory=dict)
    hosts: tuple[Text, ...] = ()
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 15
    on_rejected: RejectedPolicy = "fail"


class MastodonChannelConfig(ChannelConfig):
    """An account on a Mastodon server, or on one with the same API."""

    base_url: Text
    access_token_env: SecretName
    visibility: Literal["public", "unlisted", "private"] = "public"
    language: Text | None = None
    max_characters: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 20


class PublishWebhookConfig(ChannelConfig):
    """Your own publishing tool, which receives a signed call per post. `platforms` are those it
    supports (default: all); `native_schedule`: it schedules posts itself."""

    url: Text
    secret_env: SecretName
    platforms: tuple[Text, ...] = ()
    native_schedule: bool = False
    max_characters: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 20


CONFIG_OF_CATEGORY: Final[Mapping[str, type[ChannelConfig]]] = {
    "email": EmailChannelConfig,
    "sms": SmsChannelConfig,
    "webhook": WebhookChannelConfig,
}
CONFIG_OF_PLATFORM: Final[Mapping[str, type[ChannelConfig]]] = {
    "mastodon": MastodonChannelConfig,
    "webhook": PublishWebhookConfig,
}


def read_config(category: str, platform: str | None, specs: object, *, slug: str) -> ChannelConfig:
    """Validate the configuration of a channel row. Raises ChannelUnavailable with every error."""
    model = CONFIG_OF_CATEGORY.get(category)
    if category == "social":
        model = CONFIG_OF_PLATFORM.get((platform or "").strip().lower())
    if model is None:
        named = f"{category} / {platform}" if platform else category
        raise ChannelUnavailable(slug, f"has an unsupported category or platform ({named})")
    if not isinstance(specs, Mapping):
        specs = {}
    try:
        return model.model_validate(dict(specs))
    except PydanticValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'specs'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise ChannelUnavailable(slug, f"is not configured: {'; '.join(faults)}") from None
