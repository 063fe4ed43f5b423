"""Daily figures: counting a day anew, which days need it, and reading them. A day is one of each
workspace's own time zone: what is counted for it are calendar days that do not all begin at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json

# The first half of a two-part advisory lock; the second is the day. Any constant that nobody else
# in the database uses: the first bytes of sha256('drip_pipeline.daily_metrics').
LOCK_KEY: Final = 0x7ED7_C9C9


def lock_day(connection: Connection, day: date) -> None:
    """Wait until nobody else counts this day, and be the one until the transaction ends."""
    queries.run(connection, "lock_metric_day", lock_key=LOCK_KEY, day=day)


def clear_day(connection: Connection, day: date) -> set[UUID]:
    """Take a day's figures and marks out; the campaigns that had figures."""
    return {row[0] for row in queries.tuples(connection, "clear_metric_day", day=day)}


def count_day(connection: Connection, day: date) -> list[tuple[UUID, int]]:
    """Count a day from outcomes and log; (campaign, messages sent) for each row written."""
    return [(row[0], row[1]) for row in queries.tuples(connection, "count_metric_day", day=day)]


def day_rows(connection: Connection, day: date) -> list[dict[str, Any]]:
    """The figures of a day with names of workspaces and campaigns, in the order of their key."""
    return queries.rows(connection, "metric_day_rows", day=day)


def counted_days(
    connection: Connection, first_day: date | None = None, last_day: date | None = None
) -> list[date]:
    """The days that have figures."""
    found = queries.tuples(connection, "counted_days", first_day=first_day, last_day=last_day)
    return [row[0] for row in found]


def held_figures(connection: Connection, day: date) -> list[dict[str, Any]]:
    """What a day's figures say of messages that did not go out."""
    return queries.rows(connection, "held_figures", day=day)


def keep_held(connection: Connection, day: date, held: Sequence[dict[str, Any]]) -> int:
    """Put such figures back after counting; how many."""
    return queries.run(connection, "keep_held", day=day, held=dump_json(held).decode())


def marked_days(connection: Connection) -> list[date]:
    """Days that late events have changed."""
    return [row[0] for row in queries.tuples(connection, "marked_days")]


def marked_since(connection: Connection) -> list[tuple[date, datetime]]:
    """Days to be counted, and when each was marked first."""
    return [(row[0], row[1]) for row in queries.tuples(connection, "marked_since")]


def is_archived(connection: Connection, day: date) -> bool:
    """Whether some of the day's log is archived: what did not go out cannot be
    counted any more."""
    return bool(queries.scalar(connection, "is_day_archived", day=day))


def last_counted_day(connection: Connection, day: date) -> date | None:
    """The last day up to this one that has figures."""
    found: date | None = queries.scalar(connection, "last_counted_day", day=day)
    return found


def first_sending_day(connection: Connection) -> date | None:
    """The day of the first message that went out."""
    found: date | None = queries.scalar(connection, "first_sending_day")
    return found


def latest_date(connection: Connection, now: datetime) -> date:
    """The date where the day began first: in the easternmost time zone of any workspace."""
    found: date | None = queries.scalar(connection, "latest_date", now=now)
    return found or now.astimezone(UTC).date()


def show(connection: Connection, campaign_ids: Sequence[UUID]) -> tuple[int, int]:
    """Write the totals where applications read them; (campaigns, steps) that changed."""
    ids = list(campaign_ids)
    campaigns = queries.run(connection, "show_campaign_metrics", campaign_ids=ids)
    return campaigns, queries.run(connection, "show_step_metrics", campaign_ids=ids)


def figures(
    connection: Connection,
    *,
    campaign_id: UUID | None = None,
    first_day: date | None = None,
    last_day: date | None = None,
    by_version: bool = False,
    by_node: bool = False,
    by_variant: bool = False,
    by_day: bool = False,
) -> list[dict[str, Any]]:
    """Totals per campaign, and finer where asked for; a column that was not asked for is None."""
    return queries.rows(
        connection,
        "campaign_figures",
        campaign_id=campaign_id,
        first_day=first_day,
        last_day=last_day,
        by_version=by_version,
        by_node=by_node,
        by_variant=by_variant,
        by_day=by_day,
    )


def rebuild_outcomes(connection: Connection, day: date) -> int:
    """Put outcomes of a day's messages right where they differ from the log; how many."""
    return queries.run(connection, "rebuild_outcomes", day=day)
