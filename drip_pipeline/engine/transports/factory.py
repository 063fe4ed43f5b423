"""Build transports from the settings, and from rows of campaign_channels with the secrets they
name. With a missing or invalid configuration, the transport has a `problem` and no channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from drip_pipeline.channels.config import (
    ChannelConfig,
    EmailChannelConfig,
    MastodonChannelConfig,
    PublishWebhookConfig,
    SmsChannelConfig,
    WebhookChannelConfig,
    read_config,
)
from drip_pipeline.channels.protocol import Channel
from drip_pipeline.db.delivery.channel_accounts import ChannelRow
from drip_pipeline.engine.transports.transport import Transport
from drip_pipeline.errors import ChannelUnavailable, DripError
from drip_pipeline.settings import Secret, Settings, environment_secret

if TYPE_CHECKING:
    from drip_pipeline.channels.http.address_guard import AddressGuard

_ID_CHARACTERS: Final = 8
_NOT_SET_UP: Final[Mapping[str, str]] = {
    "email": "DRIP_SMTP_URL is not set, and the workspace has no email channel",
    "sms": "the workspace has no SMS channel",
    "social": "the workspace has no social channel for the platform",
}


@dataclass(frozen=True, slots=True)
class BuiltChannel:
    """A channel with its configuration, and the sender and headers of its messages."""

    channel: Channel
    config: ChannelConfig
    sender: str | None = None
    headers: Mapping[str, str] | None = None


def settings_transport(category: str, settings: Settings) -> Transport:
    """Build the transport of the settings alone: email by DRIP_SMTP_URL, webhooks to any host."""
    try:
        if category == "email" and settings.smtp_url is not None:
            built = _email(EmailChannelConfig(), settings)
        elif category == "webhook":
            built = _webhook(WebhookChannelConfig(), settings)
        else:
            return Transport(category, category, None, problem=_NOT_SET_UP[category])
    except DripError as error:
        return Transport(category, category, None, problem=_describe(error))
    return _transport(category, category, built, None)


def row_transport(row: ChannelRow, settings: Settings) -> Transport:
    """Build the transport of a channel row."""
    key = f"{row.category}/{row.slug}/{str(row.channel_id)[:_ID_CHARACTERS]}"
    try:
        config = read_config(row.category, row.platform, row.specs, slug=row.slug)
        built = _BUILDERS[type(config)](config, settings)
    except DripError as error:
        return Transport(
            key,
            row.category,
            None,
            channel_id=row.channel_id,
            problem=f"{row.slug}: {_describe(error)}",
        )
    return _transport(key, row.category, built, row)


def guard_of(settings: Settings) -> AddressGuard:
    """Return the guard of the addresses that campaigns may call. Raises SettingsError."""
    from drip_pipeline.channels.http.address_guard import AddressGuard

    return AddressGuard(settings.webhook_allow)


def _transport(key: str, category: str, built: BuiltChannel, row: ChannelRow | None) -> Transport:
    return Transport(
        key=key,
        category=category,
        channel=built.channel,
        config=built.config,
        channel_id=None if row is None else row.channel_id,
        sender=built.sender,
        headers=built.headers or {},
    )


def _email(config: ChannelConfig, settings: Settings) -> BuiltChannel:
    from drip_pipeline.channels.email.smtp_channel import SmtpChannel
    from drip_pipeline.channels.email.smtp_url import parse_smtp_url

    assert isinstance(config, EmailChannelConfig)
    url = settings.smtp_url
    if config.smtp_url_env is not None:
        url = environment_secret(config.smtp_url_env)
    if url is None:
        raise ChannelUnavailable("email", "has no `smtp_url_env`, and DRIP_SMTP_URL is not set")
    sender = config.mail_from or settings.mail_from
    channel = SmtpChannel(
        parse_smtp_url(url.reveal()),
        sender,
        bounce_domain=config.bounce_domain,
        relay=config.relay,
        connections=config.connections,
    )
    return BuiltChannel(
        channel, config, sender, {"Reply-To": config.reply_to} if config.reply_to else None
    )


def _sms(config: ChannelConfig, settings: Settings) -> BuiltChannel:
    from drip_pipeline.channels.http.client import HttpClient
    from drip_pipeline.channels.sms.twilio_channel import TwilioChannel

    assert isinstance(config, SmsChannelConfig)
    if config.sender is None and config.messaging_service_sid is None:
        raise ChannelUnavailable("sms", "has no sender: set `from` or `messaging_service_sid`")
    channel = TwilioChannel(
        HttpClient(guard_of(settings), keeps_connections=False),
        config,
        environment_secret(config.auth_token_env),
    )
    return BuiltChannel(channel, config)


def _webhook(config: ChannelConfig, settings: Settings) -> BuiltChannel:
    from drip_pipeline.channels.http.client import HttpClient
    from drip_pipeline.channels.signatures.standard_webhooks import signing_key
    from drip_pipeline.channels.webhook_channel import WebhookChannel

    assert isinstance(config, WebhookChannelConfig)
    name, secret = "DRIP_WEBHOOK_SECRET", settings.webhook_secret
    if config.secret_env is not None:
        name, secret = config.secret_env, environment_secret(config.secret_env)
    if config.secret_headers and not config.hosts:
        raise ChannelUnavailable("webhook", "has `secret_headers` but no `hosts` to send them to")
    headers: dict[str, Secret] = {
        header: environment_secret(variable) for header, variable in config.secret_headers.items()
    }
    channel = WebhookChannel(
        HttpClient(guard_of(settings)),
        key=None if secret is None else signing_key(name, secret),
        secret_headers=headers,
        hosts=config.hosts,
        timeout_seconds=config.timeout_seconds,
        continues_when_rejected=config.on_rejected == "continue",
    )
    return BuiltChannel(channel, config)


def _mastodon(config: ChannelConfig, settings: Settings) -> BuiltChannel:
    from drip_pipeline.channels.http.client import HttpClient
    from drip_pipeline.channels.social.mastodon_channel import MastodonChannel

    assert isinstance(config, MastodonChannelConfig)
    channel = MastodonChannel(
        HttpClient(guard_of(settings)),
        config,
        environment_secret(config.access_token_env),
    )
    return BuiltChannel(channel, config)


def _publish_webhook(config: ChannelConfig, settings: Settings) -> BuiltChannel:
    from drip_pipeline.channels.http.client import HttpClient
    from drip_pipeline.channels.signatures.standard_webhooks import signing_key
    from drip_pipeline.channels.social.publish_webhook_channel import PublishWebhookChannel

    assert isinstance(config, PublishWebhookConfig)
    channel = PublishWebhookChannel(
        HttpClient(guard_of(settings)),
        config,
        signing_key(config.secret_env, environment_secret(config.secret_env)),
    )
    return BuiltChannel(channel, config)


_Builder = Callable[[ChannelConfig, Settings], BuiltChannel]
_BUILDERS: Final[Mapping[type[ChannelConfig], _Builder]] = {
    EmailChannelConfig: _email,
    SmsChannelConfig: _sms,
    WebhookChannelConfig: _webhook,
    MastodonChannelConfig: _mastodon,
    PublishWebhookConfig: _publish_webhook,
}


def _describe(error: DripError) -> str:
    return f"{error} {error.hint}".strip()
