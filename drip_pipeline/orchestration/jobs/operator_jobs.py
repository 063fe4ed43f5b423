"""Jobs that an operator starts from the launchpad: bringing back what failed, declaring a winner,
moving people to another version. The same verbs as `drip requeue`, `drip ab declare` and
`drip campaign migrate`.
"""

from datetime import UTC, datetime
from uuid import UUID

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.ab_tests.declare import declare
from drip_pipeline.engine.operations.requeue import requeue
from drip_pipeline.engine.publishing.migrate_states import migrate_states
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.metadata.in_flight import moved_people
from drip_pipeline.orchestration.resources import EngineResource, RunClock


class RequeueConfig(dg.Config):
    """What to bring back. Name a campaign, a batch, or since when."""

    campaign: str | None = Field(default=None, description="A campaign's id or exact name.")
    batch: str | None = Field(default=None, description="A batch's id, as the ledger has it.")
    node: str | None = Field(default=None, description="Only what failed at this node.")
    since: str | None = Field(
        default=None, description="Only what failed at this ISO 8601 time or later."
    )

    def batch_id(self) -> UUID | None:
        """The batch's id, None without one."""
        return UUID(self.batch) if self.batch else None

    def failed_since(self) -> datetime | None:
        """The time (UTC where it names no zone), None without one."""
        if not self.since:
            return None
        found = datetime.fromisoformat(self.since)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def requeue_failed_work(
    context: dg.OpExecutionContext, config: RequeueConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Put failed people and deliveries back to due, with fresh retries. A delivery keeps its id: a
    provider that took it after all recognizes it.
    """
    with translate_errors("requeueing"):
        report = requeue(
            engine.database,
            now=clock.moment(),
            campaign=config.campaign,
            batch_id=config.batch_id(),
            node_id=config.node,
            since=config.failed_since(),
        )
    context.add_output_metadata(
        {"people": report.states, "messages": report.deliveries, "note": report.note or "-"}
    )


@dg.job(
    description="Failed people and messages back to due: of a campaign, of one batch of the "
    "ledger, at one node, since a time. The next run of `run_due_workflows` takes them up.",
    # What the launchpad begins with; fields that may be left out it would not show.
    config={"ops": {"requeue_failed_work": {"config": dict.fromkeys(RequeueConfig.model_fields)}}},
)
def requeue_failed() -> None:
    """One op."""
    requeue_failed_work()


class DeclareConfig(dg.Config):
    """The winner, and who says so."""

    campaign: str = Field(description="The campaign's id or exact name.")
    variant: str = Field(description="The variant that wins: its id or name.")
    reason: str = Field(description="Why; kept with the decision.")
    decided_by: str = Field(description="Who says so; kept with the decision.")
    split: str | None = Field(default=None, description="The split, where there are several.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def record_winner(
    context: dg.OpExecutionContext, config: DeclareConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Declare a variant the winner, whatever the figures say. The first decision stands."""
    with translate_errors("declaring a winner"):
        decision = declare(
            engine.database,
            config.campaign,
            variant=config.variant,
            reason=config.reason,
            decided_by=config.decided_by,
            now=clock.moment(),
            split_node_id=config.split,
            run_id=context.run_id,
        )
    context.add_output_metadata(
        {"winner": decision.winner_variant or "-", "split": decision.split_node_id}
    )


@dg.job(
    description="Declare the winner of an A/B test by hand, with a reason. From then on everybody "
    "who reaches the split goes to it.",
)
def declare_winner() -> None:
    """One op."""
    record_winner()


class MigrateConfig(dg.Config):
    """Who is to move to which version."""

    campaign: str = Field(description="The campaign's id or exact name.")
    from_versions: list[int] = Field(
        default=[], description="Only people inside these versions. Empty: all others."
    )
    to_version: int | None = Field(
        default=None, description="Where they go. Default: the version newcomers enter."
    )
    node_map: dict[str, str] = Field(
        default={}, description="Old node: new node, where they do not have the same id."
    )
    dry_run: bool = Field(default=False, description="Say who would go where, and move nobody.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def migrate_open_enrollments(
    context: dg.OpExecutionContext, config: MigrateConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Move people who are inside earlier versions. All move or nobody; nothing is sent twice."""
    with translate_errors("moving people to another version"):
        moved = migrate_states(
            engine.database,
            config.campaign,
            now=clock.moment(),
            from_versions=config.from_versions or None,
            to_version=config.to_version,
            node_map=config.node_map,
            dry_run=config.dry_run,
        )
    context.add_output_metadata(moved_people(moved.in_flight, is_dry_run=config.dry_run))


@dg.job(
    description="People pinned to an earlier version of a campaign move to another one, by node id "
    "or by a map. With `dry_run` only says who would go where, and who would have nowhere to go.",
)
def migrate_enrollments() -> None:
    """One op."""
    migrate_open_enrollments()
