"""The SMS channel: Twilio's REST API, or that of a compatible provider.

A POST cannot be repeated safely: without an answer, the outcome of the message is unknown. Status
reports, replies and opt-outs are in twilio_callbacks.py.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

from yarl import URL

from drip_pipeline.channels.config import SmsChannelConfig
from drip_pipeline.channels.http.client import HttpAnswer, HttpClient, HttpRequest
from drip_pipeline.channels.http.outcomes import HttpClassification, classify_answer
from drip_pipeline.channels.protocol import (
    Capabilities,
    DeliveryResult,
    Finding,
    Outcome,
    OutgoingMessage,
    Severity,
)
from drip_pipeline.channels.sms.segments import MAX_SEGMENTS, count_segments
from drip_pipeline.domain.addresses import Unusable, parse_phone
from drip_pipeline.redaction import redact_response
from drip_pipeline.settings import Secret

_VERSION: Final = "2010-04-01"
_CAPABILITIES: Final = Capabilities(is_idempotent=False, max_batch=100, max_text_characters=1_600)
# Twilio's error codes, https://www.twilio.com/docs/api/errors
_INVALID_NUMBER: Final = frozenset({21211, 21214, 21217, 21614, 30005, 30006})
_OPTED_OUT: Final = frozenset({21610})
_TOO_MANY: Final = frozenset({14107, 20429, 21611, 30001, 63038})


class TwilioChannel:
    """Sends SMS, one POST each."""

    name: Final = "sms"
    capabilities: Final = _CAPABILITIES

    def __init__(
        self,
        client: HttpClient,
        config: SmsChannelConfig,
        auth_token: Secret,
    ) -> None:
        """`client` must not keep connections: a stale one would look like a lost answer."""
        self._client = client
        self._config = config
        sid = quote(config.account_sid, safe="")
        self._account = f"{config.base_url.rstrip('/')}/{_VERSION}/Accounts/{sid}"
        self._auth_token = auth_token
        self._timeout_seconds = config.timeout_seconds

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Attempt each message once."""
        prepared = [_refusal(message) or self._request(message) for message in messages]
        answers = self._client.call_each(prepared)
        return [
            each if isinstance(each, DeliveryResult) else self._result(message, each)
            for message, each in zip(messages, answers, strict=True)
        ]

    def check(self) -> list[Finding]:
        """Request the account, which authenticates; nothing is sent."""
        if self._config.sender is None and self._config.messaging_service_sid is None:
            message = "the SMS channel has no sender; set `from` or `messaging_service_sid`"
            return [Finding(Severity.ERROR, "sender_missing", message)]
        request = HttpRequest(
            method="GET",
            url=f"{self._account}.json",
            headers=self._authorization(),
            timeout_seconds=self._timeout_seconds,
        )
        (answer,) = self._client.call([request])
        if answer.failure is not None:
            return [Finding(Severity.ERROR, answer.failure.value, redact_response(answer.error))]
        if answer.status in (401, 403, 404):
            message = (
                "the SMS provider refused account or token; check `account_sid` and the secret"
            )
            return [Finding(Severity.ERROR, "auth_failed", message)]
        if answer.status != 200:
            message = f"the SMS provider answered with status {answer.status}"
            return [Finding(Severity.WARNING, f"http_{answer.status}", message)]
        state = str(answer.json_object().get("status", "active"))
        if state != "active":
            return [Finding(Severity.ERROR, "account_inactive", f"the SMS account is {state}")]
        return [Finding(Severity.OK, "connected", "connected to the SMS provider, authenticated")]

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _request(self, message: OutgoingMessage) -> HttpRequest:
        fields = {"To": _number_of(message), "Body": message.text}
        config = self._config
        if config.messaging_service_sid is not None:
            fields["MessagingServiceSid"] = config.messaging_service_sid
        if config.sender is not None:
            fields["From"] = config.sender
        if config.status_callback_url is not None:
            callback = URL(config.status_callback_url)
            fields["StatusCallback"] = str(
                callback.update_query(message_id=str(message.delivery_id))
            )
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
        pair = f"{self._config.account_sid}:{self._auth_token.reveal()}".encode()
        return base64.b64encode(pair).decode("ascii")

    def _result(self, message: OutgoingMessage, answer: HttpAnswer) -> DeliveryResult:
        classified = classify_answer(answer, message.created_at)
        body = answer.json_object()
        if classified.outcome is Outcome.ACCEPTED:
            return _accepted(message, body)
        code = _number(body.get("code"))
        response = str(body.get("message") or "")
        outcome, is_fault = _meaning(classified, code)
        number = _number_of(message)
        credentials = (self._config.account_sid, self._auth_token.reveal(), self._pair())
        secrets = (message.recipient, number, number.lstrip("+"), *credentials)
        error = f"the SMS provider {classified.error}" + (f": {response}" if response else "")
        return DeliveryResult(
            delivery_id=message.delivery_id,
            outcome=outcome,
            error_code=f"twilio_{code}" if code else classified.error_code,
            error=redact_response(error, *secrets, texts=[message.text]),
            retry_after_seconds=classified.retry_after_seconds,
            recipient_invalid=outcome is Outcome.REJECTED and code in _INVALID_NUMBER,
            recipient_opted_out=code in _OPTED_OUT,
            is_provider_fault=is_fault,
        )


def _accepted(message: OutgoingMessage, body: Mapping[str, object]) -> DeliveryResult:
    sid = body.get("sid")
    return DeliveryResult(
        delivery_id=message.delivery_id,
        outcome=Outcome.ACCEPTED,
        provider_message_id=str(sid)[:200] if sid else None,
        details={"segments": count_segments(message.text).segments},
    )


def _meaning(classified: HttpClassification, code: int | None) -> tuple[Outcome, bool]:
    """Refine the classification by the provider's own error code."""
    if classified.outcome is Outcome.REJECTED and code in _TOO_MANY:
        return Outcome.THROTTLED, True
    if classified.outcome is Outcome.REJECTED and classified.error_code == "http_404":
        return Outcome.NOT_SENT, True  # no such account: true of every message
    return classified.outcome, classified.is_provider_fault


def _refusal(message: OutgoingMessage) -> DeliveryResult | None:
    code, error = None, ""
    if not _number_of(message):
        # Not known to the provider, so that it says nothing about the number.
        code = "address_invalid"
        error = "the recipient's number is not in E.164 form (+ and country code)"
    elif not message.text.strip():
        code, error = "message_empty", "the text is empty"
    elif (size := count_segments(message.text)).segments > MAX_SEGMENTS:
        code = "message_too_long"
        error = f"the text needs {size.segments} segments ({size.encoding}); {MAX_SEGMENTS} fit"
    if code is None:
        return None
    return DeliveryResult(
        delivery_id=message.delivery_id,
        outcome=Outcome.REJECTED,
        error_code=code,
        error=error,
    )


def _number_of(message: OutgoingMessage) -> str:
    """Return the recipient's number in E.164 form, or an empty text."""
    number = parse_phone(message.recipient)
    return "" if isinstance(number, Unusable) else number


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
