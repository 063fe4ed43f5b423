"""Endpoint of the unsubscribe link: GET shows a page, because scanners follow links; POST
unsubscribes, sent by the page's button or by a mail program (RFC 8058).
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool

from drip_pipeline.domain.templates.signed_tokens import Purpose, verify
from drip_pipeline.engine.events.unsubscribe import recipient_of, unsubscribe
from drip_pipeline.receiver import pages
from drip_pipeline.receiver.endpoint_guard import Call, EndpointResponse
from drip_pipeline.receiver.services import Services


class UnsubscribeEndpoint:
    """The endpoint of unsubscribe links."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._key = services.settings.signing_key().reveal()
        self._sender = pages.sender_name(services.settings.mail_from)

    async def __call__(self, call: Call) -> EndpointResponse:
        """Show the page, or unsubscribe."""
        link = verify(self._key, Purpose.UNSUBSCRIBE, call.param("token"))
        if link is None:
            return EndpointResponse(pages.unknown_link(400), "unknown")
        database = self._services.database
        if call.request.method == "POST":
            now = self._services.now()
            if await run_in_threadpool(unsubscribe, database, link.delivery_id, now=now):
                return EndpointResponse(pages.unsubscribed(self._sender), "unsubscribed")
            return EndpointResponse(pages.unknown_link(404), "unknown")
        recipient = await run_in_threadpool(recipient_of, database, link.delivery_id)
        if recipient is None:
            return EndpointResponse(pages.unknown_link(404), "unknown")
        if recipient.is_unsubscribed:
            return EndpointResponse(pages.unsubscribed(self._sender), "shown")
        return EndpointResponse(pages.ask(self._sender), "shown")
