"""The five-node drip through PgBouncer in transaction mode, compared with a direct connection."""

from __future__ import annotations

from benchmarks.five_nodes import Ready, engine_rate, people_at_the_start
from benchmarks.report import Figure, figure, in_turn
from benchmarks.sections import Options
from benchmarks.server import fresh_database
from drip_pipeline.db.connection import Database
from tests.poolers.pgbouncer import pgbouncer, program
from tests.poolers.transaction_proxy import with_port


def section(options: Options) -> list[Figure]:
    """The section of `make bench`; it has no result where PgBouncer is not installed."""
    if program() is None:
        options.say("PgBouncer is not installed (PGBOUNCER names the program)")
        return []

    def direct() -> float:
        with fresh_database(options.server_url) as database:
            return engine_rate(people_at_the_start(database, options.people), 1)

    def pooled() -> float:
        with (
            fresh_database(options.server_url) as database,
            pgbouncer(options.server_url) as port,
            Database(with_port(database.url, port)) as through,
        ):
            ready = people_at_the_start(database, options.people)
            return engine_rate(Ready(through, ready.campaign_id, ready.people), 1)

    through, without = in_turn(options.repeats, pooled, direct)
    rates = f"{max(through):,.0f} and {max(without):,.0f} people/s at best"
    note = f"one process, {options.people:,} people; {rates}"
    return [figure("pooler_vs_direct", through, without, note)]
