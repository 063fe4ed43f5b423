"""What a row of campaign_channels may say in its `specs`: provider, limits, names of secrets.

The secrets themselves stand in environment variables. Which row serves which step, and building a
channel from one, are the engine's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import PydanticCustomError

from drip_pipeline.errors import ChannelUnavailable

UnknownPolicy = Literal["assume_sent", "retry", "hold"]

_VARIABLE: Final = re.compile("[A-Z][A-Z0-9_]{0,99}")


def _variable(name: str) -> str:
    if _VARIABLE.fullmatch(name) is None:
        # Not quoted: it may be the secret itself, put in the wrong place.
        raise PydanticCustomError(
            "secret_name", "must be the name of an environment variable, as in ACME_TOKEN"
        )
    # Whoever may write channel rows must not get at the engine's own secrets by naming them.
    if name.startswith(("DRIP_", "PG")):
        raise PydanticCustomError(
            "secret_reserved", "{name} is the engine's own; use another name", {"name": name}
        )
    return name


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_048)]
SecretName = Annotated[Text, AfterValidator(_variable)]
Rate = Annotated[float, Field(gt=0, le=1_000_000)]


class ChannelConfig(BaseModel):
    """What every channel may say: how much it takes, and what happens when it fails.

    `per_second`, `per_hour`: messages, over all processes (default: no limit). `concurrency`:
    messages on their way at once. `max_retries`: tries after the first, then it is a dead letter.
    `on_unknown`: what to do with a message whose fate nobody knows: assume_sent (after a grace
    time), retry (may send twice where the provider does not recognize it) or hold (until an
    operator says); the default is retry where the provider recognizes repeated messages and
    assume_sent elsewhere. The breaker opens for `breaker_open_seconds` after `breaker_failures`
    failures in a row, or when `breaker_failure_pct` of a minute's messages fail.
    `requires_consent`: only people whose custom field `consent_<channel>` says yes. Keys that
    nobody reads are kept: other applications may use the same column.
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
        """Keys that no field stands for: another application's, or misspelled."""
        return tuple(sorted(self.model_extra or {}))


class EmailChannelConfig(ChannelConfig):
    """A relay. `smtp_url_env` names the variable with its smtp:// or smtps:// URL; without one it
    is DRIP_SMTP_URL. `from` is the sender, `reply_to` where answers go, `bounce_domain` where
    bounces go (default: the sender's domain). `relay` says whose it is, for the headers by which
    its events name our messages (default: by the host's name)."""

    smtp_url_env: SecretName | None = None
    mail_from: Annotated[Text | None, Field(alias="from")] = None
    reply_to: Text | None = None
    bounce_domain: Text | None = None
    relay: Literal["ses", "sendgrid", "postmark", "mailgun", "other"] | None = None
    connections: Annotated[int, Field(ge=1, le=100)] = 4


class SmsChannelConfig(ChannelConfig):
    """An account with Twilio, or with a provider that speaks its REST interface at `base_url`.

    The sender is `from` (a number or a name) or `messaging_service_sid`. `status_callback_url`:
    where the provider is to report what became of each message; `message_id` is added to it.
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
    """How webhooks are called. `secret_env` names the secret that signs calls (Standard Webhooks,
    `whsec_…`). `secret_headers` maps header names to variables (`{"Authorization": "CRM_AUTH"}`);
    they go to `hosts` only, so that no campaign can send them elsewhere."""

    secret_env: SecretName | None = None
    secret_headers: dict[Text, SecretName] = Field(default_factory=dict)
    hosts: tuple[Text, ...] = ()
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 15


class MastodonChannelConfig(ChannelConfig):
    """An account on a Mastodon server (or one that speaks its API)."""

    base_url: Text
    access_token_env: SecretName
    visibility: Literal["public", "unlisted", "private"] = "public"
    language: Text | None = None
    max_characters: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 20


class PublishWebhookConfig(ChannelConfig):
    """A tool of your own that publishes posts: it gets a signed call per post. `platforms` are
    those it serves (default: every platform); `native_schedule`: it keeps a post's time itself."""

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


def read_config(category: str, platform: str | None, specs: Any, *, slug: str) -> ChannelConfig:
    """The checked configuration of a channel row. Raises ChannelUnavailable naming every fault."""
    model = CONFIG_OF_CATEGORY.get(category)
    if category == "social":
        model = CONFIG_OF_PLATFORM.get((platform or "").strip().lower())
    if model is None:
        named = f"{category} / {platform}" if platform else category
        raise ChannelUnavailable(slug, f"is of a kind that messages cannot be sent over ({named})")
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
