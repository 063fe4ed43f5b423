"""Jobs that an operator starts from the launchpad: requeue, declare a winner, migrate enrollments.

They call the use cases of `drip requeue`, `drip ab declare` and `drip campaign migrate`.
"""

from datetime import datetime
from uuid import UUID

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.ab_tests.declare import declare
from drip_pipeline.engine.operations.requeue import requeue
from drip_pipeline.engine.publishing.migrate_states import migrate_states
from drip_pipeline.iso_times import read_time
from drip_pipeline.orchestration.actors import actor_of_run
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.metadata.in_flight import migrated_metadata
from drip_pipeline.orchestration.resources import EngineResource, RunClock


class RequeueConfig(dg.Config):
    """What to requeue. Give a campaign, a batch or a time."""

    campaign: str | None = Field(default=None, description="A campaign's id or exact name.")
    batch: str | None = Field(default=None, description="The id of a batch in the batch log.")
    node: str | None = Field(default=None, description="Only what failed at this node.")
    since: str | None = Field(
        default=None, description="Only what failed at this ISO 8601 time or later."
    )

    reason: str | None = Field(default=None, description="Why; stored in the audit trail.")

    def batch_id(self) -> UUID | None:
        """Return the batch's id, or None without one."""
        return UUID(self.batch) if self.batch else None

    def failed_since(self) -> datetime | None:
        """Return the time (UTC without a time zone), or None without one."""
        if not self.since:
            return None
        return read_time(self.since)


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def requeue_failed_work(
    context: dg.OpExecutionContext, config: RequeueConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Make failed enrollments and deliveries due again, with fresh retries. A delivery keeps its
    id, so a provider that accepted it recognizes the repeat.
    """
    with translate_errors("requeueing"):
        report = requeue(
            engine.database,
            now=clock.current(),
            campaign=config.campaign,
            batch_id=config.batch_id(),
            node_id=config.node,
            since=config.failed_since(),
            actor=actor_of_run(context),
            reason=config.reason,
        )
    context.add_output_metadata(
        {"enrollments": report.states, "messages": report.deliveries, "note": report.note or "-"}
    )


@dg.job(
    description="Make failed enrollments and messages due again: of a campaign, of one batch, at "
    "one node, or since a time. The next run of `run_due_workflows` processes them.",
    # The launchpad's initial text; it would not show optional fields.
    config={"ops": {"requeue_failed_work": {"config": dict.fromkeys(RequeueConfig.model_fields)}}},
)
def requeue_failed() -> None:
    """Run the only op."""
    requeue_failed_work()


class DeclareConfig(dg.Config):
    """The winner, and the person who declares it."""

    campaign: str = Field(description="The campaign's id or exact name.")
    variant: str = Field(description="The winning variant: its id or name.")
    reason: str = Field(description="The reason; stored with the decision.")
    decided_by: str = Field(description="The person who decides; stored with the decision.")
    split: str | None = Field(
        default=None, description="The split node, if the campaign has several."
    )


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def record_winner(
    context: dg.OpExecutionContext, config: DeclareConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Declare a variant the winner, whatever the results are. The first decision is final."""
    with translate_errors("declaring a winner"):
        decision = declare(
            engine.database,
            config.campaign,
            variant=config.variant,
            reason=config.reason,
            decided_by=config.decided_by,
            now=clock.current(),
            split_node_id=config.split,
            run_id=context.run_id,
            actor=actor_of_run(context),
        )
    context.add_output_metadata(
        {"winner": decision.winner_variant or "-", "split": decision.split_node_id}
    )


@dg.job(
    description="Declare the winner of an A/B test manually, with a reason. From then on all "
    "contacts that reach the split are assigned to it.",
)
def declare_winner() -> None:
    """Run the only op."""
    record_winner()


class MigrateConfig(dg.Config):
    """The enrollments to move, and their target version."""

    campaign: str = Field(description="The campaign's id or exact name.")
    from_versions: list[int] = Field(
        default=[], description="Only enrollments of these versions. Empty: all others."
    )
    to_version: int | None = Field(
        default=None, description="The target version. Default: the published version."
    )
    node_map: dict[str, str] = Field(
        default={}, description="Old node: new node, where the ids differ."
    )
    dry_run: bool = Field(default=False, description="Report the moves; change nothing.")
    reason: str | None = Field(default=None, description="Why; stored in the audit trail.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def migrate_open_enrollments(
    context: dg.OpExecutionContext, config: MigrateConfig, engine: EngineResource, clock: RunClock
) -> None:
    """Move the open enrollments of earlier versions: all or none. Nothing is sent twice."""
    with translate_errors("migrating enrollments"):
        migration = migrate_states(
            engine.database,
            config.campaign,
            now=clock.current(),
            from_versions=config.from_versions or None,
            to_version=config.to_version,
            node_map=config.node_map,
            dry_run=config.dry_run,
            actor=actor_of_run(context),
            reason=config.reason,
        )
    context.add_output_metadata(migrated_metadata(migration.in_flight, is_dry_run=config.dry_run))


@dg.job(
    description="Move the enrollments of earlier versions of a campaign to another version, by "
    "node id or by a map. With `dry_run`, only report the moves and the enrollments without a "
    "target.",
)
def migrate_enrollments() -> None:
    """Run the only op."""
    migrate_open_enrollments()
