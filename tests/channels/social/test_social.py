"""Posts: a server that keeps idempotency keys as Mastodon does, and a publishing tool behind a
signed webhook."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from drip_pipeline.channels.config import MastodonChannelConfig, PublishWebhookConfig
from drip_pipeline.channels.http.address_guard import AddressGuard
from drip_pipeline.channels.http.client import HttpClient
from drip_pipeline.channels.protocol import DeliveryResult, Outcome, OutgoingMessage, Severity
from drip_pipeline.channels.signatures.standard_webhooks import signing_key
from drip_pipeline.channels.social.mastodon_channel import MastodonChannel
from drip_pipeline.channels.social.platforms import IMPLEMENTED, UNSUPPORTED, why_unsupported
from drip_pipeline.channels.social.post_text import mastodon_characters, with_hashtags
from drip_pipeline.channels.social.publish_webhook_channel import PublishWebhookChannel
from drip_pipeline.settings import Secret
from tests.channels.messages import NOW, a_message
from tests.http_servers import DROP, HANG, HttpScript, HttpServers, Reply, Request
from tests.mastodon import MastodonLike

SECRET = "whsec_" + base64.b64encode(b"sixteen bytes or more").decode()


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def mastodon(
    script: HttpScript, closing: ExitStack, token: str = "canary-token", **options: Any
) -> MastodonChannel:
    values: dict[str, Any] = {"base_url": script.url, "timeout_seconds": 0.5} | options
    config = MastodonChannelConfig(access_token_env="TOKEN", **values)
    channel = MastodonChannel(HttpClient(AddressGuard([script.host])), config, Secret(token))
    closing.callback(channel.close)
    return channel


def tool(script: HttpScript, closing: ExitStack, **options: Any) -> PublishWebhookChannel:
    config = PublishWebhookConfig(
        url=f"{script.url}/publish", secret_env="TOOL_SECRET", timeout_seconds=0.5, **options
    )
    key = signing_key("TOOL_SECRET", Secret(SECRET))
    channel = PublishWebhookChannel(HttpClient(AddressGuard([script.host])), config, key)
    closing.callback(channel.close)
    return channel


def post(number: int = 0, **changes: Any) -> OutgoingMessage:
    payload = {"post_type": "post", "hashtags": ["#launch"], "media_urls": []}
    values = {
        "recipient": "mastodon",
        "text": f"Post {number}",
        "channel": "social",
        "payload": payload | changes.pop("payload", {}),
    }
    return a_message(number, **(values | changes))


def only(results: list[DeliveryResult]) -> DeliveryResult:
    (result,) = results
    assert "canary" not in (result.error or "")
    return result


def test_a_post_is_published_once_when_sent_repeatedly(http: HttpServers, closing: ExitStack):
    server = MastodonLike(token="canary-token")
    channel = mastodon(http.start(server.answer), closing, language="en", visibility="unlisted")
    results = [only(channel.send([post()])) for _ in range(3)]
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert len({result.provider_message_id for result in results}) == 1
    assert str(results[0].details["url"]).startswith("https://social.example.com/")
    assert [status["status"] for status in server.statuses] == ["Post 0\n\n#launch"]
    assert server.statuses[0]["visibility"] == "unlisted"
    assert server.statuses[0]["language"] == "en"


def test_a_time_far_enough_ahead_is_passed_to_the_server(http: HttpServers, closing: ExitStack):
    server = MastodonLike(token="canary-token")
    channel = mastodon(http.start(server.answer), closing)
    later = NOW + timedelta(hours=1)
    result = only(channel.send([post(payload={"schedule_time": later})]))
    assert result.details["scheduled_at"] == later.isoformat()
    soon = NOW + timedelta(minutes=4)
    only(channel.send([post(1, payload={"schedule_time": soon})]))
    assert "scheduled_at" not in server.statuses[1]


@pytest.mark.parametrize(
    ("reply", "outcome", "code"),
    [
        (Reply(401, {"error": "The access token is invalid"}), Outcome.NOT_SENT, "http_401"),
        (Reply(422, {"error": "Text too long"}), Outcome.REJECTED, "http_422"),
        (Reply(500), Outcome.NOT_SENT, "http_500"),
        (HANG, Outcome.UNKNOWN, "timeout"),
        (DROP, Outcome.UNKNOWN, "disconnected"),
    ],
)
def test_answers_are_classified(
    http: HttpServers, closing: ExitStack, reply: Reply, outcome: Outcome, code: str
):
    result = only(mastodon(http.start(reply), closing).send([post()]))
    assert (result.outcome, result.error_code) == (outcome, code)
    if isinstance(reply.body, dict):
        assert reply.body["error"] in (result.error or "")


def test_a_rate_limit_is_waited_for_until_its_reset(http: HttpServers, closing: ExitStack):
    reset = {"X-RateLimit-Reset": (NOW + timedelta(minutes=7)).isoformat()}
    result = only(mastodon(http.start(Reply(429, headers=reset)), closing).send([post()]))
    assert (result.outcome, result.retry_after_seconds) == (Outcome.THROTTLED, 420.0)


def test_checking_authenticates_and_posts_nothing(http: HttpServers, closing: ExitStack):
    server = MastodonLike(token="canary-token")
    script = http.start(server.answer)
    assert mastodon(script, closing).check()[0].severity is Severity.OK
    wrong = mastodon(script, closing, "wrong")
    assert wrong.check()[0].code == "auth_failed"
    assert server.statuses == []


def test_a_publishing_tool_gets_a_signed_call_with_all_fields(
    http: HttpServers, closing: ExitStack
):
    def publish(request: Request) -> Reply:
        Webhook(SECRET).verify(request.body, request.headers)
        return Reply(202, {"id": "p-1", "url": "https://tool.example.com/p-1"})

    script = http.start(publish)
    now = datetime.now(UTC)
    message = post(
        recipient="instagram",
        created_at=now,
        payload={
            "post_type": "reel",
            "media_urls": ["https://cdn.example.com/video.mp4"],
            "schedule_time": now + timedelta(days=1),
        },
    )
    channel = tool(script, closing, has_schedule=True)
    result = only(channel.send([message]))
    assert (result.outcome, result.provider_message_id) == (Outcome.ACCEPTED, "p-1")
    assert result.details == {"url": "https://tool.example.com/p-1"}
    data = script.requests[0].json["data"]
    assert script.requests[0].headers["webhook-id"] == str(message.delivery_id) == data["id"]
    assert (data["platform"], data["post_type"]) == ("instagram", "reel")
    assert data["text"] == "Post 0\n\n#launch"
    assert data["media_urls"] == ["https://cdn.example.com/video.mp4"]
    assert data["schedule_time"].startswith((now + timedelta(days=1)).date().isoformat())
    assert channel.check()[0].severity is Severity.OK


def test_capabilities_are_declared(http: HttpServers, closing: ExitStack):
    script = http.start()
    ours = mastodon(script, closing).capabilities
    assert (ours.is_idempotent, ours.has_media, ours.has_schedule) == (True, False, True)
    assert (ours.max_text_characters, ours.per_hour) == (500, 100)
    theirs = tool(script, closing).capabilities
    assert (theirs.is_idempotent, theirs.has_media, theirs.has_schedule) == (True, True, False)


def test_hashtags_are_added_once():
    assert with_hashtags("We are live! #Launch", ["launch", "#news", "news", " "]) == (
        "We are live! #Launch\n\n#news"
    )
    assert with_hashtags("Quiet", []) == "Quiet"
    assert with_hashtags("", ["a"]) == "#a"


def test_links_count_23_characters():
    assert mastodon_characters("see https://example.com/" + "x" * 100) == 4 + 23
    assert mastodon_characters("plain") == 5


def test_every_unsupported_platform_has_an_alternative():
    assert not IMPLEMENTED & set(UNSUPPORTED)
    for platform in ("instagram", "facebook", "linkedin", "x", "tiktok", "youtube", "bluesky"):
        assert "webhook" in UNSUPPORTED[platform]
    assert "unknown" in why_unsupported("myspace")
