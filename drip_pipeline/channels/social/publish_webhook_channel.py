"""Sends posts to the user's own publishing tool: one signed call per post (Standard Webhooks v1).

The tool recognizes repeats by `webhook-id`, which is the post's permanent id, and answers 2xx once
it has stored the post. Its response may contain the published post: {"id": …, "url": …}.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import orjson

from drip_pipeline.channels.config import PublishWebhookConfig
from drip_pipeline.channels.http.client import HttpAnswer, HttpClient, HttpRequest
from drip_pipeline.channels.http.outcomes import classify_answer
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
    """Sends posts to the configured URL."""

    name: Final = "social"

    def __init__(
        self,
        client: HttpClient,
        config: PublishWebhookConfig,
        key: bytes,
    ) -> None:
        self._client = client
        self._config = config
        self._key = key
        self.capabilities: Final = Capabilities(
            is_idempotent=True,
            max_batch=10,
            has_media=True,
            has_schedule=config.native_schedule,
            max_text_characters=config.max_characters,
        )

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Send each post once."""
        answers = self._client.call([self._request(message) for message in messages])
        return [_result(m, answer) for m, answer in zip(messages, answers, strict=True)]

    def check(self) -> list[Finding]:
        """Report the configuration; the tool is not called."""
        message = "posts are sent, signed, to the publishing tool; it was not called"
        return [Finding(Severity.OK, "configured", message)]

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
            url=self._config.url,
            headers={"Content-Type": "application/json"}
            | signature_headers(self._key, str(message.delivery_id), message.created_at, body),
            body=body,
            timeout_seconds=self._config.timeout_seconds,
        )


def _result(message: OutgoingMessage, answer: HttpAnswer) -> DeliveryResult:
    classified = classify_answer(answer, message.created_at)
    body = answer.json_object()
    accepted = classified.outcome is Outcome.ACCEPTED
    return DeliveryResult(
        delivery_id=message.delivery_id,
        outcome=classified.outcome,
        provider_message_id=str(body["id"])[:200] if accepted and body.get("id") else None,
        error_code=classified.error_code,
        error=None if accepted else f"the publishing tool {classified.error}",
        retry_after_seconds=classified.retry_after_seconds,
        is_provider_fault=classified.is_provider_fault,
        is_gone=classified.is_gone,
        details={"url": body["url"]} if accepted and isinstance(body.get("url"), str) else {},
    )
