"""The SMS channel: Twilio's REST interface, or that of a provider that speaks it.

A POST cannot be repeated safely: an answer that never comes leaves the message in doubt. What comes
back later (status, answers, STOP) stands in twilio_callbacks.py.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from yarl import URL

from drip_pipeline.channels.http.client import HttpAnswer, HttpClient, HttpRequest
from drip_pipeline.channels.http.outcomes import HttpVerdict, verdict_on_answer
from drip_pipeline.channels.protocol import (
    Capabilities,
    DeliveryResult,
    Finding,
    Outcome,
    OutgoingMessage,
    Severity,
)
from drip_pipeline.channels.redaction import redacted
from drip_pipeline.channels.sms.phone_numbers import e164
from drip_pipeline.channels.sms.segments import MAX_SEGMENTS, count_segments
from drip_pipeline.settings import Secret

_VERSION: Final = "2010-04-01"
_CAPABILITIES: Final = Capabilities(is_idempotent=False, max_batch=100, max_text_characters=1_600)
# Twilio's error codes, https://www.twilio.com/docs/api/errors
_NO_SUCH_NUMBER: Final = frozenset({21211, 21214, 21217, 21614, 30005, 30006})
_OPTED_OUT: Final = frozenset({21610})
_TOO_MANY: Final = frozenset({14107, 20429, 21611, 30001, 63038})


class TwilioChannel:
    """Sends text messages, one POST each."""

    def __init__(
        self,
        client: HttpClient,
        *,
        account_sid: str,
        auth_token: Secret,
        base_url: str = "https://api.twilio.com",
        sender: str | None = None,
        messaging_service_sid: str | None = None,
        status_callback_url: str | None = None,
        timeout_seconds: float = 15.0,
    ) -> None:
        """`client` must not keep connections: one that went stale would look like a lost answer."""
        self._client = client
        self._account = f"{base_url.rstrip('/')}/{_VERSION}/Accounts/{quote(account_sid, safe='')}"
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._sender = sender
        self._service_sid = messaging_service_sid
        self._callback_url = status_callback_url
        self._timeout_seconds = timeout_seconds

    @property
    def name(self) -> str:
        """`sms`."""
        return "sms"

    @property
    def capabilities(self) -> Capabilities:
        """Text only; not idempotent."""
        return _CAPABILITIES

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Try each message once."""
        results: dict[int, DeliveryResult] = {}
        requests: dict[int, HttpRequest] = {}
        for place, message in enumerate(messages):
            refusal = _refusal(message)
            if refusal is not None:
                results[place] = refusal
            else:
                requests[place] = self._request(message)
        answers = self._client.call(list(requests.values()))
        for place, answer in zip(requests, answers, strict=True):
            results[place] = self._result(messages[place], answer)
        return [results[place] for place in range(len(messages))]

    def check(self) -> list[Finding]:
        """Ask for the account, which authenticates and sends nothing."""
        if self._sender is None and self._service_sid is None:
            told = "the SMS channel names no sender; give it `from` or `messaging_service_sid`"
            return [Finding(Severity.ERROR, "sender_missing", told)]
        request = HttpRequest(
            method="GET",
            url=f"{self._account}.json",
            headers=self._authorization(),
            timeout_seconds=self._timeout_seconds,
        )
        (answer,) = self._client.call([request])
        if answer.failure is not None:
            return [Finding(Severity.ERROR, answer.failure.value, redacted(answer.words))]
        if answer.status in (401, 403, 404):
            told = "the SMS provider refused account or token; check `account_sid` and the secret"
            return [Finding(Severity.ERROR, "auth_failed", told)]
        if answer.status != 200:
            told = f"the SMS provider answered with status {answer.status}"
            return [Finding(Severity.WARNING, f"http_{answer.status}", told)]
        state = str(answer.json_object().get("status", "active"))
        if state != "active":
            return [Finding(Severity.ERROR, "account_inactive", f"the SMS account is {state}")]
        return [Finding(Severity.OK, "connected", "connected to the SMS provider, authenticated")]

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _request(self, message: OutgoingMessage) -> HttpRequest:
        fields = {"To": e164(message.recipient) or "", "Body": message.text}
        if self._service_sid is not None:
            fields["MessagingServiceSid"] = self._service_sid
        if self._sender is not None:
            fields["From"] = self._sender
        if self._callback_url is not None:
            callback = URL(self._callback_url).update_query(message_id=str(message.delivery_id))
            fields["StatusCallback"] = str(callback)
        return HttpRequest(
            method="POST",
            url=f"{self._account}/Messages.json",
            headers=self._authorization() | {"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(fields).encode("ascii"),
            timeout_seconds=self._timeout_seconds,
        )

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self._pair()}"}

    def _pair(self) -> str:
        pair = f"{self._account_sid}:{self._auth_token.reveal()}".encode()
        return base64.b64encode(pair).decode("ascii")

    def _result(self, message: OutgoingMessage, answer: HttpAnswer) -> DeliveryResult:
        verdict = verdict_on_answer(answer, message.created_at)
        told = answer.json_object()
        if verdict.outcome is Outcome.ACCEPTED:
            return _accepted(message, told)
        code = _number(told.get("code"))
        words = str(told.get("message") or "")
        outcome, is_fault = _meaning(verdict, code)
        number = e164(message.recipient) or ""
        secrets = (self._account_sid, self._auth_token.reveal(), self._pair())
        known = (message.recipient, number, number.lstrip("+"), *secrets)
        error = f"the SMS provider {verdict.words}" + (f": {words}" if words else "")
        return DeliveryResult(
            delivery_id=message.delivery_id,
            outcome=outcome,
            error_code=f"twilio_{code}" if code else verdict.error_code,
            error=redacted(error, *known, texts=[message.text]),
            retry_after_seconds=verdict.retry_after_seconds,
            recipient_invalid=outcome is Outcome.REJECTED and code in _NO_SUCH_NUMBER,
            recipient_opted_out=code in _OPTED_OUT,
            is_provider_fault=is_fault,
        )


def _accepted(message: OutgoingMessage, told: Mapping[str, Any]) -> DeliveryResult:
    sid = told.get("sid")
    return DeliveryResult(
        delivery_id=message.delivery_id,
        outcome=Outcome.ACCEPTED,
        provider_message_id=str(sid)[:200] if sid else None,
        details={"segments": count_segments(message.text).segments},
    )


def _meaning(verdict: HttpVerdict, code: int | None) -> tuple[Outcome, bool]:
    """The provider's own code says more than the status."""
    if verdict.outcome is Outcome.REJECTED and code in _TOO_MANY:
        return Outcome.THROTTLED, True
    if verdict.outcome is Outcome.REJECTED and verdict.error_code == "http_404":
        return Outcome.NOT_SENT, True  # no such account: true of every message
    return verdict.outcome, verdict.is_provider_fault


def _refusal(message: OutgoingMessage) -> DeliveryResult | None:
    code, words, is_invalid = None, "", False
    if e164(message.recipient) is None:
        code, is_invalid = "address_invalid", True
        words = "the recipient's number is not in E.164 form (+ and country code)"
    elif not message.text.strip():
        code, words = "message_empty", "the text is empty"
    elif (found := count_segments(message.text)).segments > MAX_SEGMENTS:
        code = "message_too_long"
        words = f"the text takes {found.segments} segments ({found.encoding}); {MAX_SEGMENTS} fit"
    if code is None:
        return None
    return DeliveryResult(
        delivery_id=message.delivery_id,
        outcome=Outcome.REJECTED,
        error_code=code,
        error=words,
        recipient_invalid=is_invalid,
    )


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
