"""The webhook channel: one signed HTTP call per message; its `webhook-id` is the delivery id.

Responses are classified in http/outcomes.py; connections and guard are in http/client.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson
from yarl import URL

from drip_pipeline.channels.http.client import HttpAnswer, HttpClient, HttpRequest
from drip_pipeline.channels.http.headers import HeaderInvalid, checked_headers
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
from drip_pipeline.settings import Secret

KEPT_RESPONSE_CHARACTERS: Final = 2_000
_CAPABILITIES: Final = Capabilities(is_idempotent=True, max_batch=1_000)
_BODILESS: Final = frozenset({"GET", "HEAD"})


class WebhookChannel:
    """Calls the URLs of steps. Receivers recognize repeated calls by `webhook-id`."""

    name: Final = "webhook"
    capabilities: Final = _CAPABILITIES

    def __init__(
        self,
        client: HttpClient,
        *,
        key: bytes | None = None,
        secret_headers: Mapping[str, Secret] | None = None,
        hosts: Sequence[str] = (),
        timeout_seconds: float = 15.0,
        continues_when_rejected: bool = False,
    ) -> None:
        """`key` signs the calls. `secret_headers` are sent to `hosts` only. With
        `continues_when_rejected`, an endpoint's refusal does not fail the enrollment.
        """
        self._client = client
        self._key = key
        self._secret_headers = dict(secret_headers or {})
        self._hosts = frozenset(host.lower() for host in hosts)
        self._timeout_seconds = timeout_seconds
        self._continues = continues_when_rejected

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Make all calls concurrently."""
        answers = self._client.call_each([self._prepared(message) for message in messages])
        return [
            each if isinstance(each, DeliveryResult) else self._result(message, each)
            for message, each in zip(messages, answers, strict=True)
        ]

    def check(self) -> list[Finding]:
        """Report whether calls are signed; nothing is called."""
        if self._key is None:
            message = (
                "webhooks are not signed; set `secret_env` of a webhook channel so that receivers"
                " can verify them"
            )
            return [Finding(Severity.WARNING, "unsigned", message)]
        return [Finding(Severity.OK, "signed", "webhooks are signed (Standard Webhooks v1)")]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _prepared(self, message: OutgoingMessage) -> HttpRequest | DeliveryResult:
        try:
            return self._request(message)
        except HeaderInvalid as error:
            return DeliveryResult(
                message.delivery_id,
                Outcome.REJECTED,
                error_code="message_invalid",
                error=str(error),
            )

    def _request(self, message: OutgoingMessage) -> HttpRequest:
        method = str(message.payload.get("method", "POST")).upper()
        payload = message.payload.get("payload") or {}
        url = message.recipient
        body: bytes | None = None
        headers = checked_headers(message.payload.get("headers") or {})
        if method in _BODILESS:
            url = _with_query(url, payload)
        elif payload or method != "DELETE":
            body = orjson.dumps(payload)
            if not any(name.lower() == "content-type" for name in headers):
                headers["Content-Type"] = "application/json"
        if self._secret_headers and (URL(url).host or "").lower() in self._hosts:
            headers |= {name: secret.reveal() for name, secret in self._secret_headers.items()}
        headers |= signature_headers(
            self._key, str(message.delivery_id), message.created_at, body or b""
        )
        return HttpRequest(
            method=method,
            url=url,
            headers=headers,
            body=body,
            timeout_seconds=self._timeout_seconds,
        )

    def _result(self, message: OutgoingMessage, answer: HttpAnswer) -> DeliveryResult:
        classified = classify_answer(answer, message.created_at)
        details: dict[str, object] = {}
        if answer.failure is None:
            # Stored in the event for diagnosis; the error text never quotes it.
            response = answer.text.replace("\x00", "")[:KEPT_RESPONSE_CHARACTERS]
            details = {"status": answer.status, "response": response}
        accepted = classified.outcome is Outcome.ACCEPTED
        return DeliveryResult(
            delivery_id=message.delivery_id,
            outcome=classified.outcome,
            error_code=classified.error_code,
            error=None if accepted else f"the endpoint {classified.error}",
            retry_after_seconds=classified.retry_after_seconds,
            is_provider_fault=classified.is_provider_fault,
            is_gone=classified.is_gone,
            # The policy is about answers; a forbidden address is a fault of the step.
            continues=self._continues
            and classified.outcome is Outcome.REJECTED
            and answer.failure is None,
            details=details,
        )


def _with_query(url: str, payload: object) -> str:
    """Add the payload to the query, for methods without a body: a list as a repeated parameter,
    an object as JSON; a payload that is a list is the parameter `payload`.
    """
    if not isinstance(payload, Mapping):
        payload = {"payload": _query_value(payload)} if payload else {}
    plain = {
        str(name): [_query_value(item) for item in value]
        if isinstance(value, (list, tuple))
        else _query_value(value)
        for name, value in payload.items()
    }
    return str(URL(url).update_query(plain)) if plain else url


def _query_value(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value).decode()
