"""Endpoint of trigger webhooks: calls that enroll contacts, signed (Standard Webhooks) or with a
bearer token; the result is returned as JSON.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Final

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from drip_pipeline.channels.signatures.providers import check_token
from drip_pipeline.channels.signatures.standard_webhooks import check_signature, signing_key
from drip_pipeline.channels.signatures.verification import (
    VerificationError,
    VerifiedRequest,
    check_any,
)
from drip_pipeline.engine.audit import Actor
from drip_pipeline.engine.enrollment.webhook_payload import CallInvalid
from drip_pipeline.engine.enrollment.webhook_trigger import enroll_by_webhook
from drip_pipeline.errors import CampaignAmbiguous, CampaignNotFound, DripError, NotAllowed
from drip_pipeline.receiver.endpoint_guard import Call, EndpointResponse, plain_response
from drip_pipeline.receiver.provider_calls import keys_by_workspace
from drip_pipeline.receiver.services import Services

_LONGEST_KEY: Final = 200
_ACTOR: Final = Actor("receiver:trigger", "receiver")


class TriggerEndpoint:
    """The endpoint of trigger webhooks."""

    def __init__(self, services: Services) -> None:
        """Raises SettingsError for invalid secrets."""
        settings = services.settings
        self._services = services
        self._tokens = keys_by_workspace(settings.trigger_tokens)
        self._keys = {
            workspace: [signing_key("DRIP_TRIGGER_SECRETS", each) for each in secrets]
            for workspace, secrets in keys_by_workspace(settings.trigger_secrets).items()
        }

    async def __call__(self, call: Call) -> EndpointResponse:
        """Enroll the contacts of a call, or return the reason of a refusal."""
        if not (self._tokens or self._keys):
            return plain_response(404, "Not configured.", "not_set_up")
        try:
            verified = self._verify(call)
        except VerificationError as error:
            answer = plain_response(401, "Not authorized.", error.reason)
            answer.response.headers["www-authenticate"] = "Bearer"
            return answer
        if "\x00" in call.param("campaign"):
            # PostgreSQL stores no text with NUL.
            return plain_response(400, "Malformed.", "malformed")
        key = call.request.headers.get("idempotency-key", "").strip() or verified.call_id or None
        if key is not None and len(key) > _LONGEST_KEY:
            return _problem(422, CallInvalid("the key of the call is too long"))
        try:
            result = await run_in_threadpool(
                enroll_by_webhook,
                self._services.database,
                call.param("campaign"),
                call.body,
                now=self._services.now(),
                call_key=key,
                workspace=verified.workspace,
                actor=_ACTOR,
            )
        except CallInvalid as invalid:
            return _problem(422, invalid)
        except CampaignNotFound as missing:
            return _problem(404, missing)
        except (CampaignAmbiguous, NotAllowed) as refused:
            return _problem(409, refused)
        if verified.once is not None:
            self._services.seen.add(f"trigger {verified.once}")
        has_no_contact = not (result.enrolled or result.already_in or result.refused)
        return _json(422 if has_no_contact else 200, asdict(result), "accepted")

    def _verify(self, call: Call) -> VerifiedRequest:
        """Verify the token or signature. Raises VerificationError."""
        headers = call.request.headers
        if "webhook-signature" not in headers:
            return check_any(
                (workspace, partial(check_token, tokens, headers))
                for workspace, tokens in self._tokens.items()
            )
        now = self._services.now()
        verified = check_any(
            (workspace, partial(check_signature, keys, headers, call.body, now))
            for workspace, keys in self._keys.items()
        )
        if f"trigger {verified.once}" in self._services.seen:
            raise VerificationError("replayed")
        return verified


def _problem(status: int, error: DripError) -> EndpointResponse:
    return _json(status, {"error": str(error), "hint": error.hint}, "refused")


def _json(status: int, content: dict[str, object], outcome: str) -> EndpointResponse:
    body = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return EndpointResponse(Response(body, status, media_type="application/json"), outcome)
