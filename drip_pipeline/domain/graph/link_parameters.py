"""UTM parameters of the links in a campaign's emails."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from drip_pipeline.domain.conditions.fields import NodeModel

AUTO: Final = "auto"
DEFAULT_MEDIUM: Final = "email"
_NOT_A_WORD: Final = re.compile(r"[^\w.~-]+")

Parameter = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class UtmParameters(NodeModel):
    """UTM parameters that are added to the web links of emails, tracked or not. Links that have a
    parameter keep theirs. `auto` is the campaign's name for `campaign`, the step for `content`."""

    source: Parameter = Field(description="utm_source, for example newsletter.")
    medium: Parameter = Field(default=DEFAULT_MEDIUM, description="utm_medium; email by default.")
    campaign: Parameter = Field(
        default=AUTO, description="utm_campaign; `auto`, the default, is the campaign's name."
    )
    content: Parameter | None = Field(
        default=None, description="utm_content; `auto` is the node that sends the email."
    )
    term: Parameter | None = Field(default=None, description="utm_term.")

    def of_node(self, campaign_name: str, node_id: str) -> tuple[tuple[str, str], ...]:
        """Return the parameters of the links in a node's emails, in order."""
        medium = DEFAULT_MEDIUM if self.medium == AUTO else self.medium
        campaign = word(campaign_name) if self.campaign == AUTO else self.campaign
        content = word(node_id) if self.content == AUTO else self.content
        named = (
            ("utm_source", self.source),
            ("utm_medium", medium),
            ("utm_campaign", campaign),
            ("utm_content", content),
            ("utm_term", self.term),
        )
        return tuple((name, value) for name, value in named if value)


def word(name: str) -> str:
    """Return a name as one word of an address: `Win-back 2026` is `win-back-2026`."""
    return _NOT_A_WORD.sub("-", name.lower()).strip("-") or "campaign"
