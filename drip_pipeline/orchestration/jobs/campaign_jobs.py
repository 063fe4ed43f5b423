"""Jobs that control a campaign, started from the launchpad: pause, resume, archive, enroll.

They call the use cases of `drip campaign pause`, `resume`, `archive` and `drip enroll`.
"""

from typing import Self

import dagster as dg
from pydantic import Field, model_validator

from drip_pipeline.engine.campaigns.campaign import StatusChange, archive, pause, resume
from drip_pipeline.engine.enrollment.audience import Everybody, Selection, Tagged
from drip_pipeline.engine.enrollment.condition_text import matching
from drip_pipeline.engine.enrollment.enroll import EnrollReport, EntryOptions, enroll
from drip_pipeline.errors import NotAllowed
from drip_pipeline.orchestration.actors import actor_of_run
from drip_pipeline.orchestration.campaign_selection import campaign_named
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.job_form import (
    OPERATOR_TAGS,
    CampaignChangeForm,
    Filled,
    WithoutAddress,
    form_of,
)
from drip_pipeline.orchestration.metadata.common import Metadata, counts
from drip_pipeline.orchestration.resources import EngineResource, RunClock


class PauseForm(CampaignChangeForm):
    """The campaign to pause."""


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def stop_sending(
    context: dg.OpExecutionContext, config: PauseForm, engine: EngineResource, clock: RunClock
) -> None:
    """Pause a campaign. Its enrollments and messages wait until it is resumed."""
    with translate_errors("pausing"):
        change = pause(
            engine.database,
            config.campaign,
            now=clock.current(),
            actor=actor_of_run(context),
            reason=config.reason or None,
        )
    context.add_output_metadata(_changed(change))


@dg.job(
    description="Pause a campaign: no step is executed and no message is sent until "
    "`resume_campaign`.",
    tags=OPERATOR_TAGS,
    config=form_of(PauseForm, stop_sending.name),
)
def pause_campaign() -> None:
    """Run the only op."""
    stop_sending()


class ResumeForm(CampaignChangeForm):
    """The campaign to resume. One that its guard has paused needs a reason."""

    spread_minutes: float = Field(
        default=0.0,
        ge=0,
        description="Spread overdue work over this many minutes. 0: as the campaign says "
        "(resume_spread_minutes), or all at once.",
    )


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def continue_sending(
    context: dg.OpExecutionContext, config: ResumeForm, engine: EngineResource, clock: RunClock
) -> None:
    """Resume a paused campaign: overdue steps and messages run."""
    with translate_errors("resuming"):
        change = resume(
            engine.database,
            config.campaign,
            now=clock.current(),
            spread_minutes=config.spread_minutes or None,
            actor=actor_of_run(context),
            reason=config.reason or None,
        )
    context.add_output_metadata(_changed(change))


@dg.job(
    description="Resume a paused campaign: overdue steps and messages run, spread over "
    "`spread_minutes`.",
    tags=OPERATOR_TAGS,
    config=form_of(ResumeForm, continue_sending.name),
)
def resume_campaign() -> None:
    """Run the only op."""
    continue_sending()


class ArchiveForm(CampaignChangeForm):
    """The campaign to archive, by id or name, and its name once more."""

    confirm_name: Filled = Field(
        default="",
        validate_default=True,
        description="The campaign's exact name again, because archiving cannot be undone.",
    )


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def end_campaign(
    context: dg.OpExecutionContext, config: ArchiveForm, engine: EngineResource, clock: RunClock
) -> None:
    """Archive a campaign: its enrollments exit and nothing more is sent."""
    with translate_errors("archiving"):
        name = campaign_named(engine.database, config.campaign).name
        if config.confirm_name != name:
            raise NotAllowed(
                f"`confirm_name` is not the name of campaign {config.campaign!r}",
                hint=f"Archiving cannot be undone. Set confirm_name: {name}",
            )
        change = archive(
            engine.database,
            config.campaign,
            now=clock.current(),
            actor=actor_of_run(context),
            reason=config.reason or None,
        )
    context.add_output_metadata(_changed(change))


@dg.job(
    description="Archive a campaign: its enrollments exit, and nothing more is sent. This cannot "
    "be undone, so the campaign's name is asked for twice.",
    tags=OPERATOR_TAGS,
    config=form_of(ArchiveForm, end_campaign.name),
)
def archive_campaign() -> None:
    """Run the only op."""
    end_campaign()


class EnrollForm(CampaignChangeForm):
    """The campaign, and its new contacts: exactly one of `everybody`, `tag` and `where`."""

    everybody: bool = Field(default=False, description="All contacts of the workspace.")
    tag: WithoutAddress = Field(default="", description="Contacts with this tag.")
    where: WithoutAddress = Field(
        default="",
        description="Contacts that match a condition, as JSON and written as in a campaign file.",
    )
    entry_key: WithoutAddress = Field(
        default="", description="Idempotency key, for campaigns that allow re-entry."
    )
    spread_minutes: float = Field(
        default=0.0, ge=0, description="Spread the start of the enrollments over this many minutes."
    )
    confirm: int = Field(
        default=0,
        ge=0,
        description="Confirm that up to this many contacts are enrolled; required above the "
        "workspace's agreed size (`drip workspace guard`).",
    )
    dry_run: bool = Field(
        default=True, description="Count who would be enrolled and refused; enroll nobody."
    )

    @model_validator(mode="after")
    def _one_audience(self) -> Self:
        if [self.everybody, bool(self.tag), bool(self.where)].count(True) != 1:
            raise ValueError("give exactly one of `everybody: true`, `tag` and `where`")
        self.audience()
        return self

    def audience(self) -> Selection:
        """Return the contacts to enroll. Raises ValueError for a condition that cannot be read."""
        if self.tag:
            return Tagged(self.tag)
        return matching(self.where, "where") if self.where else Everybody()


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def enroll_audience(
    context: dg.OpExecutionContext, config: EnrollForm, engine: EngineResource, clock: RunClock
) -> None:
    """Enroll an audience, or count it. Contacts that are already enrolled are skipped."""
    with translate_errors("enrolling"):
        report = enroll(
            engine.database,
            config.campaign,
            config.audience(),
            now=clock.current(),
            options=EntryOptions(
                config.entry_key or None,
                config.spread_minutes,
                actor=actor_of_run(context),
                reason=config.reason or None,
                is_guarded=True,
                confirm=config.confirm or None,
                is_dry_run=config.dry_run,
            ),
        )
    context.add_output_metadata(_enrolled(report))


@dg.job(
    description="Enroll contacts in a campaign: all, those with a tag, or those that match a "
    "condition. Starts as a dry run that only counts; set `dry_run: false` to enroll.",
    tags=OPERATOR_TAGS,
    config=form_of(EnrollForm, enroll_audience.name),
)
def enroll_contacts() -> None:
    """Run the only op."""
    enroll_audience()


def _changed(change: StatusChange) -> Metadata:
    return {
        "campaign": change.name,
        "status": change.status,
        "changed": "yes" if change.has_changed else "no, it was so before",
        "enrollments": change.enrollments,
        "overdue_work_spread": change.overdue,
    }


def _enrolled(report: EnrollReport) -> Metadata:
    metadata: Metadata = {
        "campaign": f"{report.campaign} (version {report.version}, {report.status})",
        "would_be_enrolled" if report.is_dry_run else "enrolled": report.enrolled,
        "already_enrolled": report.already_in,
        "refused": counts(report.refused, "reason", "contacts"),
    }
    if report.is_dry_run:
        needs_size = report.agreed is not None and report.enrolled > report.agreed
        size = f"confirm: {report.enrolled} and " if needs_size else ""
        metadata["next"] = f"Nobody was enrolled. Set {size}dry_run: false to enroll them."
    return metadata
