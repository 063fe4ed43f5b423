"""Endpoint of the link that confirms a topic: GET shows a page, because scanners follow links; POST
confirms, sent by the page's button.
"""

from __future__ import annotations

from uuid import UUID

from starlette.concurrency import run_in_threadpool

from drip_pipeline.domain.identity import is_test_message
from drip_pipeline.domain.templates.signed_tokens import Purpose, verify
from drip_pipeline.engine.events.preferences import confirm, confirmation
from drip_pipeline.receiver import pages, preference_pages
from drip_pipeline.receiver.endpoint_guard import Call, EndpointResponse
from drip_pipeline.receiver.services import Services


class ConfirmEndpoint:
    """The endpoint of links that confirm a topic."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._key = services.settings.signing_key().reveal()
        self._sender = pages.sender_name(services.settings.mail_from)

    async def __call__(self, call: Call) -> EndpointResponse:
        """Show the page, or confirm."""
        link = verify(self._key, Purpose.CONFIRM, call.param("token"))
        if link is None:
            return EndpointResponse(pages.unknown_link(400), "unknown")
        if is_test_message(link.delivery_id):
            return EndpointResponse(pages.test_link(), "test")
        is_post = call.request.method == "POST"
        return await run_in_threadpool(self._answer, link.delivery_id, is_post)

    def _answer(self, delivery_id: UUID, is_post: bool) -> EndpointResponse:
        database = self._services.database
        if is_post:
            asked = confirm(database, delivery_id, now=self._services.now())
        else:
            asked = confirmation(database, delivery_id)
        if asked is None:
            return EndpointResponse(pages.unknown_link(404), "unknown")
        match asked.status:
            case "subscribed":
                page = preference_pages.confirmed(self._sender, asked.title)
                return EndpointResponse(page, "confirmed" if is_post else "shown")
            case "pending":
                page = preference_pages.ask_to_confirm(self._sender, asked.title)
                return EndpointResponse(page, "shown")
            case _:
                return EndpointResponse(preference_pages.left_meanwhile(asked.title), "shown")
