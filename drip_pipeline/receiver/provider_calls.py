"""Endpoints of provider webhooks: verify the signature, store the payload as received, respond.

Payloads are parsed later, when the inbox is drained. Of a request with an invalid signature only a
count is stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import orjson
import structlog
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from drip_pipeline.channels.signatures.providers import (
    check_login,
    check_mailgun,
    check_sendgrid,
    sendgrid_key,
)
from drip_pipeline.channels.signatures.sns import SnsUnreachable, SnsVerifier
from drip_pipeline.channels.signatures.standard_webhooks import check_signature, signing_key
from drip_pipeline.channels.signatures.verification import (
    VerificationError,
    VerifiedRequest,
    check_any,
)
from drip_pipeline.channels.sms.twilio_callbacks import is_signed
from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.domain.events.providers.common import PayloadInvalid, our_message_id
from drip_pipeline.engine.events.payload_readers import form_of
from drip_pipeline.receiver.endpoint_guard import Call, EndpointResponse, plain_response
from drip_pipeline.receiver.services import Services
from drip_pipeline.settings import AccountKey, Secret

log = structlog.get_logger(__name__)

Check = Callable[[Call], Awaitable[VerifiedRequest]]
KeysT = TypeVar("KeysT")
_TWIML: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'


class ProviderCalls:
    """The endpoint of all configured providers."""

    def __init__(self, services: Services) -> None:
        """Raises SettingsError for invalid keys."""
        self._services = services
        # Topic → workspace.
        self._topics = {
            topic.reveal(): workspace
            for workspace, topic in map(AccountKey.of, services.settings.sns_topics)
        }
        self._sns = SnsVerifier(tuple(self._topics), services.fetch)
        self._checks = self._configured_checks()

    @property
    def providers(self) -> tuple[str, ...]:
        """The configured providers."""
        return tuple(self._checks)

    async def __call__(self, provider: str, call: Call) -> EndpointResponse:
        """Verify and store a call of this provider."""
        check = self._checks.get(provider)
        if check is None:
            return plain_response(404, "Not configured.", "not_set_up")
        try:
            verified = await check(call)
            if verified.once is not None and f"{provider} {verified.once}" in self._services.seen:
                raise VerificationError("replayed")
        except VerificationError as error:
            return _refused(provider, error)
        except PayloadInvalid:
            return plain_response(400, "Malformed.", "malformed")
        except SnsUnreachable:
            return plain_response(503, "Temporarily unavailable.", "unavailable", retry_seconds=30)
        if provider == "ses" and (answer := await self._confirm_subscription(call)) is not None:
            return answer
        arrival = Arrival(provider, call.body, self._services.now(), _context(call, verified))
        await self._services.appender.append(arrival)
        if verified.once is not None:
            self._services.seen.add(f"{provider} {verified.once}")
        if provider == "twilio":
            return EndpointResponse(Response(_TWIML, media_type="text/xml"), "accepted")
        return EndpointResponse(Response(status_code=200), "accepted")

    def _configured_checks(self) -> Mapping[str, Check]:
        settings = self._services.settings
        checks: dict[str, Check] = {}
        if self._topics:
            checks["ses"] = self._check_ses
        if settings.sendgrid_keys:
            sendgrid = {
                workspace: [sendgrid_key(key.reveal()) for key in keys]
                for workspace, keys in keys_by_workspace(settings.sendgrid_keys).items()
            }
            checks["sendgrid"] = _by_workspace(
                sendgrid,
                lambda keys, call: check_sendgrid(
                    keys, call.request.headers, call.body, self._services.now()
                ),
            )
        if settings.postmark_logins:
            checks["postmark"] = _by_workspace(
                keys_by_workspace(settings.postmark_logins),
                lambda logins, call: check_login(logins, call.request.headers),
            )
        if settings.mailgun_keys:
            checks["mailgun"] = _by_workspace(
                keys_by_workspace(settings.mailgun_keys),
                lambda keys, call: check_mailgun(keys, call.body, self._services.now()),
            )
        if settings.twilio_tokens:
            checks["twilio"] = _by_workspace(
                keys_by_workspace(settings.twilio_tokens), self._check_twilio
            )
        if settings.events_secrets:
            secrets = {
                workspace: [signing_key("DRIP_EVENTS_SECRETS", key) for key in keys]
                for workspace, keys in keys_by_workspace(settings.events_secrets).items()
            }
            checks["generic"] = _by_workspace(
                secrets,
                lambda keys, call: check_signature(
                    keys, call.request.headers, call.body, self._services.now()
                ),
            )
        return checks

    async def _check_ses(self, call: Call) -> VerifiedRequest:
        # In a thread, because the certificate may have to be fetched.
        message = _sns_message(call.body)
        verified = await run_in_threadpool(self._sns.check, message, self._services.now())
        return replace(verified, workspace=self._topics.get(str(message.get("TopicArn"))))

    def _check_twilio(self, tokens: Sequence[Secret], call: Call) -> VerifiedRequest:
        settings, request = self._services.settings, call.request
        query = f"?{request.url.query}" if request.url.query else ""
        # The provider signs the public URL, which a proxy may have changed.
        url = f"{settings.public_url}{request.url.path}{query}"
        signature = request.headers.get("x-twilio-signature", "")
        try:
            form = form_of(call.body)
        except PayloadInvalid:
            raise VerificationError("forged") from None
        if not any(is_signed(token, url, form, signature) for token in tokens):
            raise VerificationError("forged")
        return VerifiedRequest()

    async def _confirm_subscription(self, call: Call) -> EndpointResponse | None:
        """Confirm the subscription of a topic; None for other messages."""
        message = _sns_message(call.body)
        if message.get("Type") != "SubscriptionConfirmation":
            return None
        topic = message.get("TopicArn")
        try:
            if not await run_in_threadpool(self._sns.confirm, message):
                return _refused("ses", VerificationError("forged"))
        except SnsUnreachable as error:
            log.warning("sns_subscription_not_confirmed", topic=topic, error=str(error))
            return plain_response(503, "Temporarily unavailable.", "unavailable", retry_seconds=30)
        log.info("sns_subscription_confirmed", topic=topic)
        return EndpointResponse(Response(status_code=200), "confirmed")


def keys_by_workspace(entries: Sequence[Secret | str]) -> dict[str | None, list[Secret]]:
    """Group keys by the workspaces of their accounts; those that all workspaces share come last."""
    groups: dict[str | None, list[Secret]] = {}
    for workspace, key in sorted(map(AccountKey.of, entries), key=lambda each: each[0] is None):
        groups.setdefault(workspace, []).append(key)
    return groups


def _by_workspace(
    keys: Mapping[str | None, KeysT], check: Callable[[KeysT, Call], VerifiedRequest]
) -> Check:
    async def checked(call: Call) -> VerifiedRequest:
        return check_any(
            (workspace, partial(check, of_workspace, call))
            for workspace, of_workspace in keys.items()
        )

    return checked


def _refused(provider: str, error: VerificationError) -> EndpointResponse:
    answer = plain_response(401, "Not authorized.", error.reason)
    if provider == "postmark":
        answer.response.headers["www-authenticate"] = 'Basic realm="events"'
    return answer


def _context(call: Call, verified: VerifiedRequest) -> dict[str, object]:
    """Return what parsing needs in addition to the payload."""
    context: dict[str, object] = {}
    if verified.workspace:
        context["workspace"] = verified.workspace
    if verified.call_id:
        context["call_id"] = verified.call_id
    if message_id := our_message_id(call.request.query_params.get("message_id")):
        context["message_id"] = message_id
    return context


def _sns_message(body: bytes) -> Mapping[str, Any]:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise VerificationError("forged") from None
    if not isinstance(message, dict):
        raise VerificationError("forged")
    if not all(isinstance(message.get(name, ""), str) for name in ("Type", "TopicArn")):
        raise PayloadInvalid("a field of the message is not a text")
    return message
