"""Posts handed to a publishing tool of one's own: one signed call per post (Standard Webhooks v1).

The tool tells repeats by `webhook-id`, which is the post's id for ever, and answers 2xx once it has
the post in its hands. Its answer may name the post: {"id": …, "url": …}.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import orjson

from drip_pipeline.channels.http.client import HttpAnswer, HttpClient, HttpRequest
from drip_pipeline.channels.http.outcomes import verdict_on_answer
from drip_pipeline.channels.protocol import (
    Capabilities,
    DeliveryResult,
    Finding,
    Outcome,
    OutgoingMessage,
    Severity,
)
from drip_pipeline.channels.signatures.standard_webhooks import signature_headers
from drip_pipeline.channels.social.post_text import post_text


class PublishWebhookChannel:
    """Hands posts to `url`."""

    def __init__(
        self,
        client: HttpClient,
        *,
        url: str,
        key: bytes,
        has_schedule: bool = False,
        max_characters: int | None = None,
        timeout_seconds: float = 20.0,
    ) -> None:
        self._client = client
        self._url = url
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._capabilities = Capabilities(
            is_idempotent=True,
            max_batch=10,
            has_media=True,
            has_schedule=has_schedule,
            max_text_characters=max_characters,
        )

    @property
    def name(self) -> str:
        """`social`."""
        return "social"

    @property
    def capabilities(self) -> Capabilities:
        """Text and media, idempotent; whether it keeps times itself, its configuration says."""
        return self._capabilities

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Hand over each post once."""
        answers = self._client.call([self._request(message) for message in messages])
        return [_result(m, answer) for m, answer in zip(messages, answers, strict=True)]

    def check(self) -> list[Finding]:
        """What can be said without handing over a post."""
        told = "posts are handed, signed, to the publishing tool; it was not called"
        return [Finding(Severity.OK, "configured", told)]

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _request(self, message: OutgoingMessage) -> HttpRequest:
        time = message.payload.get("schedule_time")
        body = orjson.dumps(
            {
                "type": "post.publish",
                "timestamp": message.created_at,
                "data": {
                    "id": message.delivery_id,
                    "platform": message.recipient,
                    "post_type": message.payload.get("post_type"),
                    "text": post_text(message),
                    "media_urls": list(message.payload.get("media_urls") or ()),
                    "schedule_time": time if isinstance(time, datetime) else None,
                },
            }
        )
        return HttpRequest(
            method="POST",
            url=self._url,
            headers={"Content-Type": "application/json"}
            | signature_headers(self._key, str(message.delivery_id), message.created_at, body),
            body=body,
            timeout_seconds=self._timeout_seconds,
        )


def _result(message: OutgoingMessage, answer: HttpAnswer) -> DeliveryResult:
    verdict = verdict_on_answer(answer, message.created_at)
    told = answer.json_object()
    accepted = verdict.outcome is Outcome.ACCEPTED
    return DeliveryResult(
        delivery_id=message.delivery_id,
        outcome=verdict.outcome,
        provider_message_id=str(told["id"])[:200] if accepted and told.get("id") else None,
        error_code=verdict.error_code,
        error=None if accepted else f"the publishing tool {verdict.words}",
        retry_after_seconds=verdict.retry_after_seconds,
        is_provider_fault=verdict.is_provider_fault,
        is_gone=verdict.is_gone,
        details={"url": told["url"]} if accepted and isinstance(told.get("url"), str) else {},
    )
