"""The texts of a node that are templates, and the variables of the run that a node reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from drip_pipeline.domain.conditions.conditions import Needs, needs_of, needs_of_names
from drip_pipeline.domain.contact_fields import CAMPAIGN_VARIABLES
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    ConditionWait,
    EmailConfig,
    EventWait,
    FieldUpdateAction,
    NodeConfig,
    SmsAction,
    SocialAction,
    SplitConfig,
    VariableAction,
    WebhookAction,
)
from drip_pipeline.domain.run_variables import RUN_VARIABLES, VARS, variable_of
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateError


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A rendered text of a node. `where` is its key, for example `payload.user.name`."""

    where: str
    text: str
    html: bool = False


def template_texts(config: NodeConfig) -> Iterator[TemplateText]:
    """Yield the texts of a node that are templates."""
    if isinstance(config, EmailConfig) and config.personalization_enabled:
        yield TemplateText("subject", config.subject)
        if config.preheader:
            yield TemplateText("preheader", config.preheader)
        yield TemplateText("body", config.body)
        if config.body_html:
            yield TemplateText("body_html", config.body_html, html=True)
        yield from _translated(config)
    elif isinstance(config, SmsAction):
        yield TemplateText("body", config.body)
        yield from _translated(config)
    elif isinstance(config, WebhookAction):
        yield from text_leaves("headers", config.headers)
        yield from text_leaves("payload", config.payload)
    elif isinstance(config, VariableAction):
        yield from text_leaves("set", config.set)
    elif isinstance(config, FieldUpdateAction):
        yield from text_leaves("value", config.value)
    elif isinstance(config, SocialAction):
        yield TemplateText("content", config.content)
        for index, tag in enumerate(config.hashtags):
            yield TemplateText(f"hashtags[{index}]", tag)
        for index, url in enumerate(config.media_urls):
            yield TemplateText(f"media_urls[{index}]", url)


def _translated(config: EmailConfig | SmsAction) -> Iterator[TemplateText]:
    """Yield the texts of the translations, with keys such as `translations.de.subject`."""
    for tag in config.translations or ():
        for text in template_texts(config.in_language(tag)):
            yield replace(text, where=f"translations.{tag}.{text.where}")


def text_leaves(where: str, value: object) -> Iterator[TemplateText]:
    """Yield the texts of a JSON value, each with its path."""
    if isinstance(value, str):
        yield TemplateText(where, value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from text_leaves(f"{where}.{key}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from text_leaves(f"{where}[{index}]", item)


def variables_read(config: NodeConfig) -> frozenset[str]:
    """Return the variables of the run (entry, event, vars) that a node reads."""
    names: set[str] = set()
    for text in template_texts(config):
        names |= RUN_VARIABLES & roots_read(text.text, html=text.html)
    if isinstance(config, ConditionConfig):
        for branch in config.branches:
            if branch.condition is not None:
                names |= needs_of(branch.condition).variables
    elif isinstance(config, ConditionWait):
        names |= config.needs().variables
    elif isinstance(config, EventWait):
        for _, matcher in config.matchers():
            names |= matcher.needs().variables
    elif isinstance(config, SplitConfig) and config.from_field is not None:
        variable = variable_of(config.from_field)
        names |= set() if variable is None else {variable}
    return frozenset(names)


def values_need(config: NodeConfig) -> Needs:
    """Return what an action needs whose values are rendered in the batch: a variable, or a field
    update with templates."""
    if isinstance(config, VariableAction):
        needs = Needs(variables=frozenset({VARS}))  # the variables that it does not set stay
    elif isinstance(config, FieldUpdateAction):
        needs = Needs()
    else:
        return Needs()
    names: set[str] = set()
    for text in template_texts(config):
        names |= roots_read(text.text)
    names -= CAMPAIGN_VARIABLES
    return needs | needs_of_names(names - {"tags"}) | Needs(tags="tags" in names)


@lru_cache(maxsize=4096)
def paths_read(text: str, *, html: bool = False) -> frozenset[str]:
    """Return the paths that a template reads; none of a template that cannot be parsed."""
    if "{" not in text:
        return frozenset()
    try:
        return parse(text, html=html).paths
    except TemplateError:  # rendering reports it
        return frozenset()


def roots_read(text: str, *, html: bool = False) -> frozenset[str]:
    """Return the root names that a template reads; none of a template that cannot be parsed."""
    return frozenset(path.partition(".")[0] for path in paths_read(text, html=html))
