"""Posts to a Mastodon server, or one with the same API. The idempotency key makes repeats safe.

Media are not supported, because they would have to be uploaded first: publishing refuses steps with
media.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import orjson

from drip_pipeline.channels.config import MastodonChannelConfig
from drip_pipeline.channels.http.client import HttpAnswer, HttpClient, HttpRequest
from drip_pipeline.channels.http.outcomes import LONGEST_WAIT_SECONDS, classify_answer
from drip_pipeline.channels.protocol import (
    Capabilities,
    DeliveryResult,
    Finding,
    Outcome,
    OutgoingMessage,
    Severity,
)
from drip_pipeline.channels.social.post_text import post_text
from drip_pipeline.redaction import redact_response
from drip_pipeline.settings import Secret

# https://docs.joinmastodon.org/methods/statuses/#create
LEAST_AHEAD: Final = timedelta(minutes=5)
KEY_LIVES_SECONDS: Final = 3_600.0
POSTS_AN_HOUR: Final = 100.0
"""300 in three hours, https://docs.joinmastodon.org/api/rate-limits/"""


class MastodonChannel:
    """Posts as one account."""

    name: Final = "social"

    def __init__(
        self,
        client: HttpClient,
        config: MastodonChannelConfig,
        access_token: Secret,
    ) -> None:
        self._client = client
        self._config = config
        self._base_url = config.base_url.rstrip("/")
        self._access_token = access_token
        self._timeout_seconds = config.timeout_seconds
        self.capabilities: Final = Capabilities(
            is_idempotent=True,
            idempotency_seconds=KEY_LIVES_SECONDS,
            max_batch=10,
            has_schedule=True,
            max_text_characters=config.max_characters,
            per_hour=POSTS_AN_HOUR,
        )

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Publish each post once."""
        answers = self._client.call([self._request(message) for message in messages])
        return [self._result(m, answer) for m, answer in zip(messages, answers, strict=True)]

    def check(self) -> list[Finding]:
        """Verify the access token; nothing is posted."""
        request = HttpRequest(
            method="GET",
            url=f"{self._base_url}/api/v1/accounts/verify_credentials",
            headers=self._authorization(),
            timeout_seconds=self._timeout_seconds,
        )
        (answer,) = self._client.call([request])
        if answer.failure is not None:
            return [Finding(Severity.ERROR, answer.failure.value, redact_response(answer.error))]
        if answer.status != 200:
            message = f"the Mastodon server refused the access token (status {answer.status})"
            return [Finding(Severity.ERROR, "auth_failed", message)]
        return [Finding(Severity.OK, "connected", "connected to Mastodon, authenticated")]

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _request(self, message: OutgoingMessage) -> HttpRequest:
        fields = {"status": post_text(message), "visibility": self._config.visibility}
        if self._config.language:
            fields["language"] = self._config.language
        time = message.payload.get("schedule_time")
        if isinstance(time, datetime) and time >= message.created_at + LEAST_AHEAD:
            fields["scheduled_at"] = time.isoformat()
        return HttpRequest(
            method="POST",
            url=f"{self._base_url}/api/v1/statuses",
            headers=self._authorization()
            | {"Content-Type": "application/json", "Idempotency-Key": str(message.delivery_id)},
            body=orjson.dumps(fields),
            timeout_seconds=self._timeout_seconds,
        )

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._access_token.reveal()}"}

    def _result(self, message: OutgoingMessage, answer: HttpAnswer) -> DeliveryResult:
        classified = classify_answer(answer, message.created_at)
        body = answer.json_object()
        if classified.outcome is Outcome.ACCEPTED:
            details = {"url": body.get("url"), "scheduled_at": body.get("scheduled_at")}
            return DeliveryResult(
                delivery_id=message.delivery_id,
                outcome=Outcome.ACCEPTED,
                provider_message_id=str(body["id"])[:200] if body.get("id") else None,
                details={name: value for name, value in details.items() if value},
            )
        after = classified.retry_after_seconds
        if classified.outcome is Outcome.THROTTLED and after is None:
            after = _until_reset(answer.headers.get("x-ratelimit-reset"), message.created_at)
        error = f"the Mastodon server {classified.error}"
        if isinstance(body.get("error"), str):
            error += f": {body['error']}"
        return DeliveryResult(
            delivery_id=message.delivery_id,
            outcome=classified.outcome,
            error_code=classified.error_code,
            error=redact_response(error, self._access_token.reveal(), texts=[message.text]),
            retry_after_seconds=after,
            is_provider_fault=classified.is_provider_fault,
        )


def _until_reset(value: str | None, now: datetime) -> float | None:
    try:
        seconds = (datetime.fromisoformat(value or "") - now).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
