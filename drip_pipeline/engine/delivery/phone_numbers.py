"""Find the numbers that leased SMS go to, and skip those that cannot be read or are suppressed.

Applications write contacts by plain SQL, in any notation; the country of a national number is the
workspace's. The lease compares what is written; this compares what is dialed.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.db.contacts.suppressions import NumberOfDelivery
from drip_pipeline.db.delivery.deliveries import LeasedDelivery
from drip_pipeline.domain.addresses import Unusable, parse_phone


def with_numbers(
    connection: Connection, leased: Sequence[LeasedDelivery]
) -> tuple[list[LeasedDelivery], dict[UUID, str]]:
    """Return the leased SMS with the reasons of those that cannot be sent, and the numbers of the
    others in E.164 form by delivery.
    """
    open_ = [each for each in leased if each.blocked_reason is None]
    if not open_:
        return list(leased), {}
    regions = workspaces_db.regions(connection, {each.workspace_id for each in open_})
    numbers: dict[UUID, str] = {}
    blocked: dict[UUID, str] = {}
    respelled: list[NumberOfDelivery] = []
    for each in open_:
        phone = each.phone or ""
        number = parse_phone(phone, regions.get(each.workspace_id))
        if isinstance(number, Unusable):
            blocked[each.id] = number.reason
            continue
        numbers[each.id] = number
        if number != phone:
            respelled.append(NumberOfDelivery(each.id, each.workspace_id, each.campaign_id, number))
    if respelled:
        blocked |= dict(suppressions_db.suppressed_numbers(connection, respelled))
    return [
        each._replace(blocked_reason=blocked[each.id]) if each.id in blocked else each
        for each in leased
    ], numbers
