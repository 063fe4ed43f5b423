"""The names that other rooms need of a campaign file: reading it, completing it."""

from drip_pipeline.domain.campaign_file import (
    CampaignDefinition,
    StepDefinition,
    load_definition,
)
from drip_pipeline.domain.complete import complete

__all__ = ["CampaignDefinition", "StepDefinition", "complete", "load_definition"]
