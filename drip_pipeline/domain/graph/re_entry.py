"""Re-entry: when a contact may enter a campaign again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from drip_pipeline.domain.conditions.fields import NO_BOOL, Name, NodeModel, Number
from drip_pipeline.domain.run_variables import ENTRY


class AfterDays(NodeModel):
    """Re-entry is open this many days after the last run ended."""

    after_days: Annotated[Number, Field(ge=0, le=36_500), NO_BOOL] = Field(
        description="Days after the end of the last run."
    )


class PerKey(NodeModel):
    """One run per value of the entry data, such as an order number."""

    per_key: Name = Field(
        description="Path of the value in the entry data, such as order_id; a contact enters once"
        " per value."
    )

    @field_validator("per_key")
    @classmethod
    def _path_in_the_entry_data(cls, value: str) -> str:
        return value.removeprefix(f"{ENTRY}.")


ReEntry = Literal["once", "after_exit", "per_key"] | AfterDays | PerKey
