"""Check the texts: templates parse, variables exist, emails have an unsubscribe link.

Every rendered text is checked before publishing; a fault would otherwise appear only when the first
message is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from drip_pipeline.domain.compiler.analysis import Analysis
from drip_pipeline.domain.contact_fields import (
    ALIASES,
    CONFIRM,
    CONTACT_COLUMNS,
    CUSTOM_FIELDS,
    KNOWN_VARIABLES,
)
from drip_pipeline.domain.definition.problems import Problem, Problems, did_you_mean
from drip_pipeline.domain.graph.nodes import (
    EmailConfig,
    FieldUpdateAction,
    SocialAction,
    TagAction,
    VariableAction,
)
from drip_pipeline.domain.graph.template_texts import TemplateText, template_texts, text_leaves
from drip_pipeline.domain.run_variables import ENTRY, RUN_VARIABLES
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateBudgetExceeded, TemplateError

UNSUBSCRIBE: Final = "unsubscribe_url"
_BUDGET: Final = "template_budget"
_MOST_OVER_BUDGET: Final = 3
"""Further templates are not rendered: each may take a quarter of a second."""
_NO_CONTACT: Final[dict[str, object]] = {}
_MESSAGE_VARIABLES: Final = frozenset({"campaign_name", UNSUBSCRIBE, CONFIRM, "workspace_id"})
_CONTACT_VARIABLES: Final = CONTACT_COLUMNS | ALIASES | {CUSTOM_FIELDS, UNSUBSCRIBE, CONFIRM}


def template_problems(analysis: Analysis, known_custom_fields: frozenset[str]) -> list[Problem]:
    """Return the problems of all texts. Fields that the campaign writes count as existing."""
    written = {
        config.target.name
        for config in analysis.configs.values()
        if isinstance(config, FieldUpdateAction)
    }
    existing_names = KNOWN_VARIABLES | known_custom_fields | written
    problems = Problems()
    for node_id, config in analysis.configs.items():
        variables_of: dict[str, frozenset[str]] = {}
        for template in template_texts(config):
            variables = _variables(node_id, template, problems)
            if variables is None:
                continue
            variables_of[template.where] = variables
            if isinstance(config, SocialAction):
                problems += _contact_variables(node_id, template, variables, existing_names)
            else:
                problems += _unknown_variables(
                    node_id, template, variables - RUN_VARIABLES, existing_names
                )
        if isinstance(config, EmailConfig):
            problems += _email_problems(node_id, config, variables_of, "")
            for tag in config.translations or ():
                translated = config.in_language(tag)
                prefix = f"translations.{tag}."
                problems += _email_problems(node_id, translated, variables_of, prefix)
        elif isinstance(config, FieldUpdateAction | VariableAction):
            problems += _unavailable_variables(node_id, variables_of)
        if isinstance(config, TagAction):
            problems += _tags_not_rendered(node_id, config)
        elif isinstance(config, FieldUpdateAction) and "." in config.target.name:
            problems.add(
                node_id,
                "field_path",
                f"field: {config.target.name} is written as one custom field with this name, and"
                " templates cannot read it; use a name without dots",
                "warning",
            )
    return problems


def _tags_not_rendered(node_id: str, config: TagAction) -> list[Problem]:
    """Return problems of tags that look like templates: they would be written as they are."""
    texts = [*text_leaves("add", config.add), *text_leaves("remove", config.remove)]
    return [
        Problem(
            node_id,
            "value_not_rendered",
            f"{text.where}: tags are no templates and would be written as they are; write a fixed"
            " value",
        )
        for text in texts
        if "{{" in text.text or "{%" in text.text
    ]


def _unavailable_variables(
    node_id: str, variables_of: Mapping[str, frozenset[str]]
) -> list[Problem]:
    """Return problems of variables that only messages have."""
    return [
        Problem(
            node_id,
            "variable_unavailable",
            f"{where}: {name} is available in messages only, not in values of actions",
        )
        for where, variables in variables_of.items()
        for name in sorted(variables & _MESSAGE_VARIABLES)
    ]


def _variables(node_id: str, template: TemplateText, problems: Problems) -> frozenset[str] | None:
    try:
        parsed = parse(template.text, html=template.html)
    except TemplateError as error:
        problems.add(node_id, "template_syntax", f"{template.where}: {error.message}")
        return None
    if not parsed.is_plain and _budget_problems(problems) < _MOST_OVER_BUDGET:
        try:
            parsed.render(_NO_CONTACT)
        except TemplateBudgetExceeded as error:
            problems.add(node_id, _BUDGET, f"{template.where}: {error.message}")
        except TemplateError:
            pass  # depends on the data of a contact, of which there is none here
    return parsed.variables


def _budget_problems(problems: Problems) -> int:
    return sum(problem.code == _BUDGET for problem in problems)


def _unknown_variables(
    node_id: str,
    template: TemplateText,
    variables: Iterable[str],
    existing_names: frozenset[str] | set[str],
) -> list[Problem]:
    return [
        Problem(
            node_id,
            "variable_unknown",
            f"{template.where}: unknown variable {name}"
            + (
                did_you_mean(name, existing_names)
                or "; it is neither a contact column nor a custom field of a contact in the"
                f" workspace (data of the enrollment is read as {ENTRY}.{name})"
            ),
        )
        for name in sorted(variables)
        if name not in existing_names
    ]


def _contact_variables(
    node_id: str,
    template: TemplateText,
    variables: Iterable[str],
    existing_names: frozenset[str] | set[str],
) -> list[Problem]:
    """Return the variables of a post that belong to a contact: a post has no single recipient."""
    allowed = (KNOWN_VARIABLES - _CONTACT_VARIABLES) & existing_names
    return [
        Problem(
            node_id,
            "social_personal",
            f"{template.where}: a post is published once for all contacts and cannot use {name},"
            " which differs between contacts",
        )
        for name in sorted(variables)
        if name not in allowed
    ]


def _email_problems(
    node_id: str, config: EmailConfig, variables_of: Mapping[str, frozenset[str]], prefix: str
) -> list[Problem]:
    problems = Problems()
    bodies = [(f"{prefix}body", config.body), (f"{prefix}body_html", config.body_html or "")]
    without = [
        where
        for where, text in bodies
        # A body that cannot be parsed has been reported; its variables are unknown.
        if text.strip()
        and (not config.personalization_enabled or where in variables_of)
        and UNSUBSCRIBE not in variables_of.get(where, ())
    ]
    if without:
        problems.add(
            node_id,
            "unsubscribe_link_missing",
            f"{' and '.join(without)} without {{{{ unsubscribe_url }}}}: a footer with the link"
            " will be added",
            "warning",
        )
    if not config.personalization_enabled and any(
        mark in text
        for text in (config.subject, config.preheader or "", *(text for _, text in bodies))
        for mark in ("{{", "{%")
    ):
        problems.add(
            node_id,
            "personalization_off",
            "the texts have template marks, but personalization_enabled is false: they will be"
            " sent unchanged",
            "warning",
        )
    return problems
