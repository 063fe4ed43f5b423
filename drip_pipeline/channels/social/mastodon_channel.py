"""Posts to a Mastodon server, or one that speaks its API. The idempotency key makes repeats safe.

Media would have to be uploaded first and are not: publishing refuses a step that has some.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from drip_pipeline.channels.http.client import HttpAnswer, HttpClient, HttpRequest
from drip_pipeline.channels.http.outcomes import LONGEST_WAIT_SECONDS, verdict_on_answer
from drip_pipeline.channels.protocol import (
    Capabilities,
    DeliveryResult,
    Finding,
    Outcome,
    OutgoingMessage,
    Severity,
)
from drip_pipeline.channels.redaction import redacted
from drip_pipeline.channels.social.post_text import post_text
from drip_pipeline.settings import Secret

# https://docs.joinmastodon.org/methods/statuses/#create
LEAST_AHEAD: Final = timedelta(minutes=5)
KEY_LIVES_SECONDS: Final = 3_600.0
POSTS_AN_HOUR: Final = 100.0
"""300 in three hours, https://docs.joinmastodon.org/api/rate-limits/"""


class MastodonChannel:
    """Posts as one account."""

    def __init__(
        self,
        client: HttpClient,
        *,
        base_url: str,
        access_token: Secret,
        visibility: str = "public",
        language: str | None = None,
        max_characters: int = 500,
        timeout_seconds: float = 20.0,
    ) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._access_token = access_token
        self._visibility = visibility
        self._language = language
        self._timeout_seconds = timeout_seconds
        self._capabilities = Capabilities(
            is_idempotent=True,
            idempotency_seconds=KEY_LIVES_SECONDS,
            max_batch=10,
            has_schedule=True,
            max_text_characters=max_characters,
            per_hour=POSTS_AN_HOUR,
        )

    @property
    def name(self) -> str:
        """`social`."""
        return "social"

    @property
    def capabilities(self) -> Capabilities:
        """Text, idempotent, with a schedule of its own."""
        return self._capabilities

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Publish each post once."""
        answers = self._client.call([self._request(message) for message in messages])
        return [self._result(m, answer) for m, answer in zip(messages, answers, strict=True)]

    def check(self) -> list[Finding]:
        """Ask who we are, which authenticates and posts nothing."""
        request = HttpRequest(
            method="GET",
            url=f"{self._base_url}/api/v1/accounts/verify_credentials",
            headers=self._authorization(),
            timeout_seconds=self._timeout_seconds,
        )
        (answer,) = self._client.call([request])
        if answer.failure is not None:
            return [Finding(Severity.ERROR, answer.failure.value, redacted(answer.words))]
        if answer.status != 200:
            told = f"the Mastodon server refused the access token (status {answer.status})"
            return [Finding(Severity.ERROR, "auth_failed", told)]
        return [Finding(Severity.OK, "connected", "connected to Mastodon, authenticated")]

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _request(self, message: OutgoingMessage) -> HttpRequest:
        fields: dict[str, Any] = {"status": post_text(message), "visibility": self._visibility}
        if self._language:
            fields["language"] = self._language
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
        verdict = verdict_on_answer(answer, message.created_at)
        told = answer.json_object()
        if verdict.outcome is Outcome.ACCEPTED:
            shown = {"url": told.get("url"), "scheduled_at": told.get("scheduled_at")}
            return DeliveryResult(
                delivery_id=message.delivery_id,
                outcome=Outcome.ACCEPTED,
                provider_message_id=str(told["id"])[:200] if told.get("id") else None,
                details={name: value for name, value in shown.items() if value},
            )
        after = verdict.retry_after_seconds
        if verdict.outcome is Outcome.THROTTLED and after is None:
            after = _until_reset(answer.headers.get("x-ratelimit-reset"), message.created_at)
        words = f"the Mastodon server {verdict.words}"
        if isinstance(told.get("error"), str):
            words += f": {told['error']}"
        return DeliveryResult(
            delivery_id=message.delivery_id,
            outcome=verdict.outcome,
            error_code=verdict.error_code,
            error=redacted(words, self._access_token.reveal(), texts=[message.text]),
            retry_after_seconds=after,
            is_provider_fault=verdict.is_provider_fault,
        )


def _until_reset(value: str | None, now: datetime) -> float | None:
    try:
        seconds = (datetime.fromisoformat(value or "") - now).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
