"""Configurations of action nodes: change the contact or the variables of its run, call a URL, send
an SMS, publish a post.

Executing them belongs to engine/ and channels/.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.fields import NO_BOOL, Name, Names, NodeModel
from drip_pipeline.domain.contact_fields import CUSTOM_FIELDS
from drip_pipeline.domain.graph.emails import SmsTranslations
from drip_pipeline.domain.run_variables import data_problem


class TagAction(NodeModel):
    """Add tags to the contact, then take tags away."""

    type: Literal["tag"] = Field(default="tag", description="Kind of action.")
    add: Names = Field(default=(), description="Tags to add.")
    remove: Names = Field(default=(), description="Tags to remove.")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.add and not self.remove:
            raise PydanticCustomError("tag_empty", "a tag action needs `add` or `remove`")
        both = sorted(set(self.add) & set(self.remove))
        if both:
            raise PydanticCustomError(
                "tag_contradiction", "adds and removes {tags}", {"tags": ", ".join(both)}
            )
        return self


class ScoreAction(NodeModel):
    """Change the contact's score by `delta` points, or set it; the result stays within 0..100."""

    type: Literal["score"] = Field(default="score", description="Kind of action.")
    delta: Annotated[int, Field(ge=-100, le=100), NO_BOOL] | None = Field(
        default=None, description="Points to add, negative to subtract."
    )
    set: Annotated[int, Field(ge=0, le=100), NO_BOOL] | None = Field(
        default=None, description="New score."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.delta is None) == (self.set is None):
            raise PydanticCustomError(
                "score_config", "a score action needs exactly one of `delta` and `set`"
            )
        return self


UPDATABLE_COLUMNS: Final = frozenset({"name", "company", "phone", "job_title", "status"})
CONTACT_STATUSES: Final = ("prospect", "lead", "customer", "contact")
_COLUMN_ALIASES: Final = {"company_name": "company"}
_PROTECTED_COLUMNS: Final[Mapping[str, str]] = {
    "email": "an address is changed by importing contacts",
    "tags": "use a tag action",
    "ai_score": "use a score action",
    "lead_score": "use a score action",
    "id": "it identifies the contact",
    "workspace_id": "a contact stays in its workspace",
    "custom_fields": "name the field inside it instead",
    "created_at": "the database keeps it",
    "updated_at": "the database keeps it",
    "last_interaction": "the engine keeps it",
}


class WrittenField(NamedTuple):
    """Where a field update writes: a column of the contact, or a custom field."""

    kind: Literal["column", "custom_field"]
    name: str


class FieldUpdateAction(NodeModel):
    """Write `value` into a column of the contact, or into the custom field of that name.

    The texts of the value are Liquid templates; one that is a single output keeps the type of its
    value.
    """

    type: Literal["field_update"] = Field(default="field_update", description="Kind of action.")
    field: Name = Field(
        description="Column of the contact, or name of a custom field; contact. and"
        " custom_fields. may precede it."
    )
    value: Any = Field(
        default=None,
        description="New value; its texts are templates, and `{{ x }}` alone is the value.",
    )

    @property
    def target(self) -> WrittenField:
        """What is written: the field that a condition with this name reads."""
        name = self.field.removeprefix("contact.")
        custom = name.removeprefix(f"{CUSTOM_FIELDS}.")
        if custom != name:
            return WrittenField("custom_field", custom)
        name = _COLUMN_ALIASES.get(name, name)
        return WrittenField("column" if name in UPDATABLE_COLUMNS else "custom_field", name)

    @model_validator(mode="after")
    def _field_may_be_written(self) -> Self:
        kind, name = self.target
        is_custom = kind == "custom_field" and name != self.field.removeprefix("contact.")
        why = None if is_custom else _PROTECTED_COLUMNS.get(name)
        if why is not None:
            raise PydanticCustomError(
                "field_protected",
                "{field} cannot be set by a field update: {why}",
                {"field": self.field, "why": why},
            )
        if self.target == ("column", "status") and self.value not in CONTACT_STATUSES:
            raise PydanticCustomError(
                "field_value",
                "status must be one of {statuses}",
                {"statuses": ", ".join(CONTACT_STATUSES)},
            )
        return self


MAX_VARIABLES: Final = 50
VariableName = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
]


class VariableAction(NodeModel):
    """Set variables of the run, which conditions, texts, payloads and field updates read as `vars`.

    The texts of the values are Liquid templates; one that is a single output, as `{{ entry.total
    }}`, keeps the type of its value. All values are computed before any is set. null removes the
    variable.
    """

    type: Literal["variable"] = Field(default="variable", description="Kind of action.")
    set: Annotated[dict[VariableName, Any], Field(min_length=1, max_length=MAX_VARIABLES)] = Field(
        description="Values by variable name; their texts are templates, and `{{ x }}` alone is"
        " the value."
    )

    @field_validator("set")
    @classmethod
    def _values_are_bounded(cls, value: dict[str, Any]) -> dict[str, Any]:
        problem = data_problem(value)
        if problem is not None:
            raise PydanticCustomError(
                "variable_bounds", "the values are too large: {problem}", {"problem": problem}
            )
        return value


class WebhookAction(NodeModel):
    """Call a URL. The text leaves of `payload` are Liquid templates; the URL is not.

    A leaf that is one output, as `{{ score }}`, keeps the type of its value: a number, a list,
    true, or null if there is none. In other texts, `json` writes a value as JSON. GET sends the
    payload as query parameters, a list as a repeated parameter.
    """

    type: Literal["webhook"] = Field(default="webhook", description="Kind of action.")
    url: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_048)
    ] = Field(description="Absolute URL (http or https), no template.")
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = Field(
        default="POST", description="HTTP method."
    )
    headers: dict[str, str] = Field(default_factory=dict, description="HTTP headers by name.")
    payload: dict[str, Any] | list[Any] = Field(
        default_factory=dict,
        description="JSON body; its texts are templates, and `{{ x }}` alone is the value.",
    )

    @field_validator("method", mode="before")
    @classmethod
    def _method_in_capitals(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _url_is_absolute_http(cls, value: str) -> str:
        if "{{" in value or "{%" in value:
            raise PydanticCustomError(
                "webhook_url_template",
                "the URL is not a template; put the value into the payload",
            )
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise PydanticCustomError("webhook_url", "the URL cannot be read") from None
        if parts.scheme.lower() not in ("http", "https") or not host:
            raise PydanticCustomError(
                "webhook_url", "the URL must begin with http:// or https:// and name a host"
            )
        if any(char.isspace() or ord(char) < 32 for char in value):
            raise PydanticCustomError("webhook_url", "the URL contains white space")
        return value

    @field_validator("headers")
    @classmethod
    def _headers_are_single_lines(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not name or any(char in "\r\n\0" for char in name + text):
                raise PydanticCustomError(
                    "webhook_header", "header {name} must be one line", {"name": repr(name)}
                )
        return value


class SmsAction(NodeModel):
    """A text message; `body` is a Liquid template."""

    type: Literal["sms"] = Field(default="sms", description="Kind of action.")
    body: str = Field(description="Text of the SMS; a Liquid template.")
    translations: SmsTranslations = Field(
        default=None,
        description="Texts by language tag (BCP 47), for contacts with such a field `language`.",
    )

    @model_serializer(mode="wrap")
    def _without_absent_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So that campaigns of earlier releases keep their hash.
        data: dict[str, Any] = handler(self)
        return (
            data
            if self.translations is not None
            else {key: value for key, value in data.items() if key != "translations"}
        )

    def in_language(self, tag: str) -> SmsAction:
        """Return the SMS with the text of one of its translations."""
        assert self.translations is not None
        body = self.translations[tag].body
        return self.model_copy(update={"body": body, "translations": None})

    @field_validator("body")
    @classmethod
    def _body_is_there(cls, value: str) -> str:
        if not value.strip():
            raise PydanticCustomError("body_missing", "the text message needs `body`")
        return value


class SocialAction(NodeModel):
    """One public post per step; its texts cannot use attributes of a contact."""

    type: Literal["social"] = Field(default="social", description="Kind of action.")
    platform: Name = Field(description="Social network, for example mastodon.")
    post_type: Name = Field(default="post", description="Kind of post.")
    content: str = Field(default="", description="Text of the post, without contact variables.")
    media_urls: Names = Field(default=(), description="URLs of images and videos.")
    hashtags: Names = Field(default=(), description="Hashtags, with or without #.")
    schedule_time: datetime | None = Field(
        default=None, description="Time of publication; UTC without an offset."
    )

    @field_validator("platform")
    @classmethod
    def _platform_in_small_letters(cls, value: str) -> str:
        return value.lower()

    @field_validator("schedule_time")
    @classmethod
    def _time_has_a_zone(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.content.strip() and not self.media_urls:
            raise PydanticCustomError("body_missing", "the post needs `content` or `media_urls`")
        return self


ActionConfig = (
    TagAction
    | ScoreAction
    | FieldUpdateAction
    | VariableAction
    | WebhookAction
    | SmsAction
    | SocialAction
)

INSTANT_ACTIONS: Final = (TagAction, ScoreAction, FieldUpdateAction, VariableAction)
"""Actions that only change the contact or the run; all others become deliveries."""
