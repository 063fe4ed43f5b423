"""The forms of the jobs that an operator starts: flat, every field with its default, checked before
a run exists.

A job's launchpad opens with all fields of its form. An invalid value refuses the launch with a
sentence that names the field; no run fails, so nobody is alerted.
"""

# No `from __future__ import annotations`: Dagster reads the types of the fields.
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final
from uuid import UUID

import dagster as dg
from pydantic import AfterValidator, Field, ValidationError

from drip_pipeline.iso_times import read_time
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG

OPERATOR_KIND: Final = "operator"
OPERATOR_TAGS: Final = {KIND_TAG: OPERATOR_KIND}
"""Tags of the jobs that a person starts, and whose failures that person sees."""
_REASON: Final = "Value error, "


class InvalidForm(dg.DagsterError):
    """A field of a job's form has a value that the job cannot work with.

    A Dagster error, because Dagster passes those on as they are; others appear as a fault of the
    code location.
    """


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def _time(text: str) -> str:
    if text.strip():
        read_time(text.strip())
    return text.strip()


def _uuid(text: str) -> str:
    if text.strip():
        try:
            UUID(text.strip())
        except ValueError:
            raise ValueError("is not an id, such as 01234567-89ab-cdef-0123-456789abcdef") from None
    return text.strip()


def _no_address(text: str) -> str:
    if "@" in text:
        raise ValueError(
            "has an email address, which Dagster would store with the run; use `drip` instead"
        )
    return text.strip()


Filled = Annotated[str, AfterValidator(_filled)]
"""A text that must be given."""
OptionalTime = Annotated[str, AfterValidator(_time)]
"""An ISO 8601 time, or empty."""
FilledTime = Annotated[str, AfterValidator(_filled), AfterValidator(_time)]
"""An ISO 8601 time."""
OptionalId = Annotated[str, AfterValidator(_uuid)]
"""A UUID, or empty."""
WithoutAddress = Annotated[str, AfterValidator(_no_address)]
"""A text that Dagster may store: without an email address."""


class JobForm(dg.Config):
    """The fields that all forms have."""

    now: OptionalTime = Field(
        default="",
        description="Use this ISO 8601 time as the current time (simulation). Empty: the real "
        "time.",
    )


class CampaignForm(JobForm):
    """A form about one campaign."""

    campaign: Filled = Field(
        default="", validate_default=True, description="The campaign's id or exact name."
    )


class ChangeForm(JobForm):
    """A form of a job that changes something."""

    reason: WithoutAddress = Field(
        default="", description="Why; stored in the audit trail (`drip audit`)."
    )


class CampaignChangeForm(CampaignForm, ChangeForm):
    """A form of a job that changes one campaign."""


def form_of(config: type[JobForm], op: str) -> dg.ConfigMapping:
    """Return the run configuration of a job whose only op takes this form."""

    def checked(values: Mapping[str, Any]) -> dict[str, Any]:
        try:
            form = config(**values)
        except ValidationError as error:
            raise InvalidForm(_sentence(error)) from None
        config_of_op = {
            name: value.value if isinstance(value, Enum) else value
            for name, value in form.model_dump(exclude={"now"}).items()
        }
        return {
            "ops": {op: {"config": config_of_op}},
            "resources": {"clock": {"config": {"now": form.now or None}}},
        }

    return dg.ConfigMapping(config_fn=checked, config_schema=config.to_config_schema())


def optional_time(text: str) -> datetime | None:
    """Return the time of a field of OptionalTime, or None if it is empty."""
    return read_time(text) if text else None


def optional_id(text: str) -> UUID | None:
    """Return the id of a field of OptionalId, or None if it is empty."""
    return UUID(text) if text else None


def _sentence(error: ValidationError) -> str:
    """Return one sentence with every invalid field."""
    parts = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(str(part) for part in detail["loc"])
        message = str(detail["msg"]).removeprefix(_REASON).replace("Input should be", "must be")
        parts.append(f"`{field}` {message}" if field else message)
    return f"Not started: {'; '.join(parts)}."
