"""Rules of the texts: templates that parse, variables that exist, a way to unsubscribe.

Whatever is rendered for a person is checked here; a fault would otherwise show at night, in the
mail to the first recipient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from drip_pipeline.domain.compiler.analysis import Analysis
from drip_pipeline.domain.contact_fields import ALIASES, CONTACT_COLUMNS, CUSTOM_FIELDS
from drip_pipeline.domain.definition.problems import Problem, did_you_mean
from drip_pipeline.domain.graph.nodes import (
    EmailConfig,
    FieldUpdateAction,
    NodeConfig,
    SmsAction,
    SocialAction,
    WebhookAction,
)
from drip_pipeline.domain.templates.templates import KNOWN_VARIABLES, parse
from drip_pipeline.errors import TemplateError

UNSUBSCRIBE: Final = "unsubscribe_url"
_ABOUT_A_CONTACT: Final = CONTACT_COLUMNS | ALIASES | {CUSTOM_FIELDS, UNSUBSCRIBE}


@dataclass(frozen=True, slots=True)
class TemplateText:
    """One text that is rendered: where it stands, and whether it is HTML."""

    where: str
    text: str
    html: bool = False


def template_problems(analysis: Analysis, known_custom_fields: frozenset[str]) -> list[Problem]:
    """Everything that is wrong with the texts of the campaign.

    Fields that the campaign itself writes count as known.
    """
    written = {
        config.field
        for config in analysis.configs.values()
        if isinstance(config, FieldUpdateAction)
    }
    known = KNOWN_VARIABLES | known_custom_fields | written
    problems: list[Problem] = []
    for node_id, config in analysis.configs.items():
        read: dict[str, frozenset[str]] = {}
        for part in template_texts(config):
            variables = _variables(node_id, part, problems)
            if variables is None:
                continue
            read[part.where] = variables
            if isinstance(config, SocialAction):
                problems += _personal(node_id, part, variables, known)
            else:
                problems += _unknown(node_id, part, variables, known)
        if isinstance(config, EmailConfig):
            problems += _mail_problems(node_id, config, read)
    return problems


def template_texts(config: NodeConfig) -> Iterator[TemplateText]:
    """The texts of a node that are templates."""
    if isinstance(config, EmailConfig) and config.personalization_enabled:
        yield TemplateText("subject", config.subject)
        if config.preheader:
            yield TemplateText("preheader", config.preheader)
        yield TemplateText("body", config.body)
        if config.body_html:
            yield TemplateText("body_html", config.body_html, html=True)
    elif isinstance(config, SmsAction):
        yield TemplateText("body", config.body)
    elif isinstance(config, WebhookAction):
        yield from _leaves("payload", config.payload)
    elif isinstance(config, SocialAction):
        yield TemplateText("content", config.content)
        for index, tag in enumerate(config.hashtags):
            yield TemplateText(f"hashtags[{index}]", tag)
        for index, url in enumerate(config.media_urls):
            yield TemplateText(f"media_urls[{index}]", url)


def _leaves(where: str, value: Any) -> Iterator[TemplateText]:
    if isinstance(value, str):
        yield TemplateText(where, value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{where}.{key}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(f"{where}[{index}]", item)


def _variables(node_id: str, part: TemplateText, problems: list[Problem]) -> frozenset[str] | None:
    try:
        return parse(part.text, html=part.html).variables
    except TemplateError as error:
        problems.append(Problem(node_id, "template_syntax", f"{part.where}: {error.message}"))
        return None


def _unknown(
    node_id: str, part: TemplateText, variables: Iterable[str], known: frozenset[str] | set[str]
) -> list[Problem]:
    return [
        Problem(
            node_id,
            "variable_unknown",
            f"{part.where}: nothing is known of a variable {name}"
            + (
                did_you_mean(name, known)
                or "; it is no column of contacts, and no contact of the workspace has a custom"
                " field of that name"
            ),
        )
        for name in sorted(variables)
        if name not in known
    ]


def _personal(
    node_id: str, part: TemplateText, variables: Iterable[str], known: frozenset[str] | set[str]
) -> list[Problem]:
    """A post goes to everybody: it can know the campaign, but no contact."""
    allowed = (KNOWN_VARIABLES - _ABOUT_A_CONTACT) & known
    return [
        Problem(
            node_id,
            "social_personal",
            f"{part.where}: a post is published once for everybody and cannot name {name} of a"
            " single contact",
        )
        for name in sorted(variables)
        if name not in allowed
    ]


def _mail_problems(
    node_id: str, config: EmailConfig, read: dict[str, frozenset[str]]
) -> list[Problem]:
    problems = []
    bodies = [("body", config.body), ("body_html", config.body_html or "")]
    without = [
        where
        for where, text in bodies
        # A body that cannot be parsed has been reported; what it reads is not known.
        if text.strip()
        and (not config.personalization_enabled or where in read)
        and UNSUBSCRIBE not in read.get(where, ())
    ]
    if without:
        problems.append(
            Problem(
                node_id,
                "unsubscribe_link_missing",
                f"{' and '.join(without)} without {{{{ unsubscribe_url }}}}: a footer with the link"
                " will be added",
                "warning",
            )
        )
    if not config.personalization_enabled and any(
        mark in text
        for text in (config.subject, config.preheader or "", *(text for _, text in bodies))
        for mark in ("{{", "{%")
    ):
        problems.append(
            Problem(
                node_id,
                "personalization_off",
                "the texts have template marks, but personalization_enabled is false: they will be"
                " sent as they stand",
                "warning",
            )
        )
    return problems
