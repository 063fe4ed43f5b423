"""The configuration of an email, and the translations of messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.fields import NodeModel
from drip_pipeline.domain.graph.attachments import MOST_ATTACHMENTS, Attachment

_TAG: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*")
_LATER_KEYS: Final = ("sender", "reply_to", "translations", "layout", "attachments")
"""Left out where they are not set, so that campaigns of earlier releases keep their hash."""
LANGUAGE: Final = "language"
"""The custom field that selects the translation."""


def language_tag(text: str) -> str:
    """Return a language tag (BCP 47) in the form in which tags are compared: `de-at`."""
    return text.strip().replace("_", "-").lower()


def best_language(language: object, available: Iterable[str]) -> str | None:
    """Return the translation for a contact's language; None stands for the message's own texts.

    Parts of the tag are dropped from its end until there is a translation: `de-AT` is served by
    `de`. `available` are tags as `language_tag` returns them.
    """
    if not isinstance(language, str):
        return None
    tag = language_tag(language)
    while tag:
        if tag in available:
            return tag
        tag = tag.rpartition("-")[0]
    return None


def _by_tag(value: object) -> object:
    """Return translations by their normalized tags; refuse two of one language."""
    if not isinstance(value, Mapping):
        return value
    translations: dict[str, object] = {}
    for key, texts in value.items():
        tag = language_tag(str(key))
        if not _TAG.fullmatch(tag):
            raise PydanticCustomError(
                "language_tag",
                "{tag} is not a language tag such as de or pt-BR",
                {"tag": repr(str(key))},
            )
        if tag in translations:
            raise PydanticCustomError(
                "language_twice", "the language {tag} is there twice", {"tag": tag}
            )
        translations[tag] = texts
    return translations or None


def one_line_subject(value: str) -> str:
    """Return a subject that is one line and not empty. Raises PydanticCustomError."""
    if not value.strip():
        raise PydanticCustomError("subject_missing", "the subject is empty")
    # Any line break of splitlines() could inject a header into the message.
    if len(value.splitlines()) > 1 or value != value.rstrip("\r\n"):
        raise PydanticCustomError("subject_lines", "the subject must be one line")
    return value


class _MailTexts(NodeModel):
    """The texts of an email in one language."""

    subject: str = Field(description="Subject, one line; a Liquid template.")
    preheader: str | None = Field(
        default=None, description="Preview text of the inbox; a Liquid template."
    )
    body: str = Field(
        default="", description="Plain text; a Liquid template. May be empty with body_html."
    )
    body_html: str | None = Field(default=None, description="HTML body; a Liquid template.")

    @field_validator("body", mode="before")
    @classmethod
    def _no_body_is_an_empty_one(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("subject")
    @classmethod
    def _subject_is_one_line(cls, value: str) -> str:
        return one_line_subject(value)

    @field_validator("preheader")
    @classmethod
    def _empty_preheader_is_none(cls, value: str | None) -> str | None:
        return value if value and value.strip() else None

    @model_validator(mode="after")
    def _has_a_body(self) -> Self:
        if not self.body.strip() and not (self.body_html or "").strip():
            raise PydanticCustomError("body_missing", "the email needs `body` or `body_html`")
        return self


class EmailTranslation(_MailTexts):
    """The texts of an email in another language; complete, nothing is taken from the email."""


class SmsTranslation(NodeModel):
    """The text of an SMS in another language."""

    body: str = Field(description="Text of the SMS; a Liquid template.")

    @field_validator("body")
    @classmethod
    def _body_is_there(cls, value: str) -> str:
        if not value.strip():
            raise PydanticCustomError("body_missing", "the text message needs `body`")
        return value


Attachments = Annotated[tuple[Attachment, ...], Field(max_length=MOST_ATTACHMENTS)]
EmailTranslations = Annotated[Mapping[str, EmailTranslation] | None, BeforeValidator(_by_tag)]
SmsTranslations = Annotated[Mapping[str, SmsTranslation] | None, BeforeValidator(_by_tag)]


class EmailConfig(_MailTexts):
    """An email. Texts are Liquid templates unless `personalization_enabled` is off.

    `body` is the plain text; it may be empty when there is a `body_html`.
    """

    type: Literal["email"] = Field(default="email", description="Type of the node.")
    personalization_enabled: bool = Field(
        default=True, description="false: the texts are no templates and are sent as they are."
    )
    sender: str | None = Field(
        default=None,
        alias="from",
        max_length=500,
        description="Sender of this email, as `Name <address>`; by default the channel's.",
    )
    reply_to: str | None = Field(
        default=None,
        max_length=500,
        description="Address for replies to this email; by default the channel's.",
    )
    translations: EmailTranslations = Field(
        default=None,
        description="Texts by language tag (BCP 47), for contacts with such a field `language`.",
    )

    layout: Literal[False] | Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="Template that the HTML is put into; by default `layout`, if the campaign has"
        " one. false: none.",
    )

    attachments: Attachments | None = Field(
        default=None, description="Files attached to this email, the same for all contacts."
    )

    @model_serializer(mode="wrap")
    def _without_absent_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        absent = {key for key in _LATER_KEYS if getattr(self, key) is None}
        return {
            key: value for key, value in data.items() if key not in absent and key != "from"
        } | ({"sender": self.sender} if self.sender is not None else {})

    @field_validator("sender", "reply_to")
    @classmethod
    def _mailbox_is_one_line(cls, value: str | None) -> str | None:
        if value is not None and (len(value.splitlines()) != 1 or "@" not in value):
            raise PydanticCustomError(
                "mailbox", "must be an address, or a name and an address as `Name <address>`"
            )
        return value

    def in_language(self, tag: str) -> EmailConfig:
        """Return the email with the texts of one of its translations."""
        assert self.translations is not None
        texts = self.translations[tag]
        return self.model_copy(
            update={
                "subject": texts.subject,
                "preheader": texts.preheader,
                "body": texts.body,
                "body_html": texts.body_html,
                "translations": None,
            }
        )
