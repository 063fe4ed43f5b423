"""Jobs that an operator starts from the launchpad: requeue, declare a winner, migrate enrollments.

They call the use cases of `drip requeue`, `drip ab declare` and `drip campaign migrate`.
"""

from typing import Self

import dagster as dg
from pydantic import Field, model_validator

from drip_pipeline.engine.ab_tests.declare import declare
from drip_pipeline.engine.operations.ab_test_invariants import check_ab_test_invariants
from drip_pipeline.engine.operations.requeue import requeue
from drip_pipeline.engine.publishing.migrate_states import migrate_states
from drip_pipeline.orchestration.actors import actor_of_run
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.job_form import (
    OPERATOR_TAGS,
    CampaignChangeForm,
    CampaignForm,
    ChangeForm,
    Filled,
    OptionalId,
    OptionalTime,
    WithoutAddress,
    form_of,
    optional_id,
    optional_time,
)
from drip_pipeline.orchestration.metadata.ab_tests import WINNER_DECISIONS, declared_metadata
from drip_pipeline.orchestration.metadata.in_flight import migrated_metadata
from drip_pipeline.orchestration.metadata.invariants import check_evaluation
from drip_pipeline.orchestration.resources import EngineResource, RunClock


class RequeueForm(ChangeForm):
    """What to requeue: a campaign, a batch or a time."""

    campaign: WithoutAddress = Field(default="", description="A campaign's id or exact name.")
    batch: OptionalId = Field(default="", description="The id of a batch in the batch log.")
    node: str = Field(default="", description="Only what failed at this node.")
    since: OptionalTime = Field(
        default="", description="Only what failed at this ISO 8601 time or later."
    )

    @model_validator(mode="after")
    def _some_work(self) -> Self:
        if not (self.campaign or self.batch or self.since):
            raise ValueError("give `campaign`, `batch` or `since`")
        return self


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def requeue_failed_work(
    context: dg.OpExecutionContext, config: RequeueForm, engine: EngineResource, clock: RunClock
) -> None:
    """Make failed enrollments and deliveries due again, with fresh retries. A delivery keeps its
    id, so a provider that accepted it recognizes the repeat.
    """
    with translate_errors("requeueing"):
        report = requeue(
            engine.database,
            now=clock.current(),
            campaign=config.campaign or None,
            batch_id=optional_id(config.batch),
            node_id=config.node or None,
            since=optional_time(config.since),
            actor=actor_of_run(context),
            reason=config.reason or None,
        )
    context.add_output_metadata(
        {"enrollments": report.states, "messages": report.deliveries, "note": report.note or "-"}
    )


@dg.job(
    description="Make failed enrollments and messages due again: of a campaign, of one batch, at "
    "one node, or since a time. The next run of `run_due_workflows` processes them.",
    tags=OPERATOR_TAGS,
    config=form_of(RequeueForm, requeue_failed_work.name),
)
def requeue_failed() -> None:
    """Run the only op."""
    requeue_failed_work()


class DeclareForm(CampaignForm):
    """The winner, and the person who declares it."""

    variant: Filled = Field(
        default="", validate_default=True, description="The winning variant: its id or name."
    )
    reason: Filled = Field(
        default="", validate_default=True, description="The reason; stored with the decision."
    )
    decided_by: Filled = Field(
        default="",
        validate_default=True,
        description="The person who decides; stored with the decision.",
    )
    split: str = Field(default="", description="The split node, if the campaign has several.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def record_winner(
    context: dg.OpExecutionContext, config: DeclareForm, engine: EngineResource, clock: RunClock
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
            split_node_id=config.split or None,
            run_id=context.run_id,
            actor=actor_of_run(context),
        )
        reported = declared_metadata(engine.database)
        (check,) = check_ab_test_invariants(engine.database, names=("ab_decisions",))
    context.add_output_metadata(
        {"winner": decision.winner_variant or "-", "split": decision.split_node_id}
    )
    # The asset's own run finds nothing to decide; without this the catalog would not show it.
    context.log_event(
        dg.AssetMaterialization(WINNER_DECISIONS, description="Declared.", metadata=reported)
    )
    context.instance.report_runless_asset_event(check_evaluation(WINNER_DECISIONS, check))


@dg.job(
    description="Declare the winner of an A/B test manually, with a reason. From then on all "
    "contacts that reach the split are assigned to it.",
    tags=OPERATOR_TAGS,
    config=form_of(DeclareForm, record_winner.name),
)
def declare_winner() -> None:
    """Run the only op."""
    record_winner()


class MigrateForm(CampaignChangeForm):
    """The enrollments to move, and their target version."""

    from_versions: list[int] = Field(
        default=[], description="Only enrollments of these versions. Empty: all others."
    )
    to_version: int = Field(
        default=0, ge=0, description="The target version. 0: the published version."
    )
    node_map: dict[str, str] = Field(
        default={}, description="Old node: new node, where the ids differ."
    )
    dry_run: bool = Field(default=True, description="Report the moves; change nothing.")


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def migrate_open_enrollments(
    context: dg.OpExecutionContext, config: MigrateForm, engine: EngineResource, clock: RunClock
) -> None:
    """Move the open enrollments of earlier versions: all or none. Nothing is sent twice."""
    with translate_errors("migrating enrollments"):
        migration = migrate_states(
            engine.database,
            config.campaign,
            now=clock.current(),
            from_versions=config.from_versions or None,
            to_version=config.to_version or None,
            node_map=config.node_map,
            dry_run=config.dry_run,
            actor=actor_of_run(context),
            reason=config.reason or None,
        )
    context.add_output_metadata(migrated_metadata(migration.in_flight, is_dry_run=config.dry_run))


@dg.job(
    description="Move the enrollments of earlier versions of a campaign to another version, by "
    "node id or by a map. Starts as a dry run that reports the moves and the enrollments without a "
    "target; set `dry_run: false` to move them.",
    tags=OPERATOR_TAGS,
    config=form_of(MigrateForm, migrate_open_enrollments.name),
)
def migrate_enrollments() -> None:
    """Run the only op."""
    migrate_open_enrollments()
