"""Read the `templates` of a campaign, and write them into the texts of its messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from drip_pipeline.domain.definition.campaign_file import CampaignDefinition
from drip_pipeline.domain.definition.problems import Problems, did_you_mean, shorten
from drip_pipeline.domain.graph.nodes import EmailConfig, NodeConfig, SmsAction
from drip_pipeline.domain.templates.shared_texts import (
    LAYOUT,
    NAME,
    SharedText,
    expanded,
    in_layout,
    is_complete_page,
    names_rendered,
)
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateError

MOST_TEMPLATES: Final = 200
_FORMS: Final = ("html", "text")
_CONTENT_NAME: Final = "content"


def read_templates(definition: CampaignDefinition, problems: Problems) -> SharedTemplates:
    """Return the templates of a definition; those with problems are reported, and empty."""
    raw = definition.templates or {}
    if len(raw) > MOST_TEMPLATES:
        problems.add(None, "templates_many", f"templates: {MOST_TEMPLATES} at most, not {len(raw)}")
        raw = {}
    shared: dict[str, SharedText] = {}
    for name, value in raw.items():
        text = _read(name, value, problems)
        if text is not None:
            shared[name] = text
    faulty = {name for name, text in shared.items() if _is_faulty(name, text, shared, problems)}
    empty = SharedText("", "")
    return SharedTemplates({n: empty if n in faulty else text for n, text in shared.items()})


@dataclass(frozen=True, slots=True)
class SharedTemplates:
    """The templates of a campaign by name."""

    shared: Mapping[str, SharedText]

    def applied(self, node_id: str, config: NodeConfig, problems: Problems) -> NodeConfig:
        """Return a message with its partials and its layout written out. What cannot be is
        reported, and its text stays as it is."""
        if isinstance(config, SmsAction):
            return config.model_copy(
                update={
                    "body": self._text(node_id, "body", config.body, problems),
                    "translations": config.translations
                    and {
                        tag: texts.model_copy(
                            update={
                                "body": self._text(
                                    node_id, f"translations.{tag}.body", texts.body, problems
                                )
                            }
                        )
                        for tag, texts in config.translations.items()
                    },
                }
            )
        if not isinstance(config, EmailConfig) or not config.personalization_enabled:
            return config
        layout = self._layout(node_id, config, problems)
        translations = config.translations and {
            tag: texts.model_copy(
                update=self._mail(
                    node_id, config.in_language(tag), layout, f"translations.{tag}.", problems
                )
            )
            for tag, texts in config.translations.items()
        }
        update = self._mail(node_id, config, layout, "", problems)
        return config.model_copy(update={**update, "translations": translations, "layout": None})

    def _mail(
        self,
        node_id: str,
        config: EmailConfig,
        layout: SharedText | None,
        prefix: str,
        problems: Problems,
    ) -> dict[str, object]:
        update: dict[str, object] = {
            key: self._text(node_id, f"{prefix}{key}", text, problems)
            for key in ("subject", "preheader", "body")
            if (text := getattr(config, key)) is not None
        }
        html = config.body_html
        if html is None or not html.strip():
            return update
        where = f"{prefix}body_html"
        written = self._text(node_id, where, html, problems, html=True)
        if layout is not None and layout.html is not None and not is_complete_page(html):
            try:
                around = expanded(layout.html, self.shared, html=True)
                written = in_layout(written, around)
            except TemplateError:
                pass  # reported with the layout itself
        return {**update, "body_html": written}

    def _layout(self, node_id: str, config: EmailConfig, problems: Problems) -> SharedText | None:
        if config.layout is False:
            return None
        if config.layout is None:
            return self.shared.get(LAYOUT)
        layout = self.shared.get(config.layout)
        if layout is None:
            hint = did_you_mean(config.layout, self.shared)
            problems.add(
                node_id, "layout_unknown", f"layout: there is no template {config.layout!r}{hint}"
            )
        elif layout.html is None:
            problems.add(
                node_id, "layout_unknown", f"layout: template {config.layout!r} has no HTML form"
            )
        return layout

    def _text(
        self, node_id: str, where: str, text: str, problems: Problems, *, html: bool = False
    ) -> str:
        try:
            return expanded(text, self.shared, html=html)
        except TemplateError as error:
            problems.add(node_id, "template_syntax", f"{where}: {error.message}")
            return text


def _read(name: str, value: object, problems: Problems) -> SharedText | None:
    if not NAME.fullmatch(name):
        message = f"templates: {shorten(name)} is not a name of letters, digits, - and _"
        problems.add(None, "template_name", message)
        return None
    if isinstance(value, str):
        return SharedText(value, value)
    if (
        isinstance(value, Mapping)
        and value
        and all(key in _FORMS and isinstance(text, str) for key, text in value.items())
    ):
        return SharedText(value.get("html"), value.get("text"))
    problems.add(
        None,
        "template_shape",
        f"templates.{name} must be a text, or {{html: …, text: …}}, not {shorten(value)}",
    )
    return None


def _is_faulty(
    name: str, text: SharedText, shared: Mapping[str, SharedText], problems: Problems
) -> bool:
    """Report the faults of a template by itself. Its variables are checked where it is used."""
    faults: list[str] = []
    for form in _FORMS:
        written = text.html if form == "html" else text.text
        if written is None or (form == "text" and written == text.html and faults):
            continue
        if form == "text" and any(_lacks_form(n, shared) for n in names_rendered(written)):
            continue  # of use in HTML only; where a text renders it, that is reported
        try:
            parsed = parse(expanded(written, shared, html=form == "html"), html=form == "html")
            if _CONTENT_NAME in parsed.variables:
                in_layout("", written)
        except TemplateError as error:
            faults.append(f"templates.{name} ({form}): {error.message}")
    for fault in faults:
        problems.add(None, "template_syntax", fault)
    if name == LAYOUT and not faults and _CONTENT_NAME not in (text.html or ""):
        message = "templates.layout has no {{ content }}, where the HTML of a mail goes"
        problems.add(None, "layout_without_content", message)
        return True
    return bool(faults)


def _lacks_form(name: str, shared: Mapping[str, SharedText]) -> bool:
    text = shared.get(name)
    return text is not None and text.text is None
