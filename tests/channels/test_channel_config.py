"""Configuration of channel rows: accepted, and refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.channels.config import (
    EmailChannelConfig,
    MastodonChannelConfig,
    PublishWebhookConfig,
    SmsChannelConfig,
    read_config,
)
from drip_pipeline.errors import ChannelUnavailable

SMS = {"account_sid": "AC1", "auth_token_env": "SMS_TOKEN", "from": "+15550100999"}


def test_rows_are_read_by_category_and_platform():
    assert isinstance(read_config("email", None, {}, slug="a"), EmailChannelConfig)
    assert isinstance(read_config("sms", "twilio", SMS, slug="a"), SmsChannelConfig)
    mastodon = {"base_url": "https://social.example.com", "access_token_env": "M_TOKEN"}
    assert isinstance(read_config("social", "Mastodon", mastodon, slug="a"), MastodonChannelConfig)
    tool = {"url": "https://tool.example.com", "secret_env": "TOOL"}
    assert isinstance(read_config("social", "webhook", tool, slug="a"), PublishWebhookConfig)


def test_every_channel_has_limits():
    config = read_config(
        "email", None, {"per_second": 50, "per_hour": 1_000, "concurrency": 4}, slug="a"
    )
    assert (config.per_second, config.per_hour, config.concurrency) == (50, 1_000, 4)
    assert config.max_retries == 3


@pytest.mark.parametrize("specs", [None, [], "text", 5])
def test_a_column_without_an_object_is_an_empty_configuration(specs: Any):
    assert read_config("email", None, specs, slug="a") == EmailChannelConfig()


def test_unknown_keys_are_kept_and_reported():
    config = read_config("email", None, {"per_secnd": 5, "theme": "dark"}, slug="a")
    assert config.unread_keys() == ("per_secnd", "theme")


@pytest.mark.parametrize(
    ("category", "platform", "specs", "complaint"),
    [
        ("sms", None, {}, "account_sid"),
        ("sms", None, SMS | {"auth_token_env": "DRIP_SECRET_KEY"}, "reserved for the engine"),
        ("sms", None, SMS | {"auth_token_env": "PGPASSWORD"}, "reserved for the engine"),
        ("sms", None, SMS | {"auth_token_env": "the token"}, "must be the name"),
        ("sms", None, SMS | {"provider": "smoke signals"}, "provider"),
        ("email", None, {"per_second": 0}, "per_second"),
        ("email", None, {"concurrency": 1.5}, "concurrency"),
        ("email", None, {"on_unknown": "guess"}, "on_unknown"),
        ("email", None, {"breaker_failure_pct": 101}, "breaker_failure_pct"),
        ("social", "instagram", {}, "social / instagram"),
        ("video", None, {}, "video"),
    ],
)
def test_an_invalid_configuration_is_refused_with_the_reason(
    category: str, platform: str | None, specs: dict[str, Any], complaint: str
):
    with pytest.raises(ChannelUnavailable, match=complaint) as caught:
        read_config(category, platform, specs, slug="acme-channel")
    assert "acme-channel" in str(caught.value)


def test_a_secret_written_in_place_of_its_name_is_not_quoted():
    with pytest.raises(ChannelUnavailable, match="auth_token_env") as caught:
        read_config("sms", None, SMS | {"auth_token_env": "canary-secret"}, slug="a")
    assert "canary" not in f"{caught.value} {caught.value.hint}"
