"""Files attached to an email: from a file or an address, with what publishing found."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Final, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.fields import NodeModel

MOST_ATTACHMENTS: Final = 10
MOST_BYTES: Final = 5_000_000
"""Size of one attachment."""
MOST_BYTES_OF_MAIL: Final = 10_000_000
"""Size of all attachments of an email: many servers refuse mails above 20 MB, encoded."""
_LONGEST_NAME: Final = 150


class Attachment(NodeModel):
    """A file attached to an email: `file` beside the campaign file, or `url`, fetched at
    publishing, which adds the other keys."""

    file: str | None = Field(
        default=None, max_length=300, description="Path of a file, from the campaign file's folder."
    )
    url: str | None = Field(
        default=None, max_length=2_000, description="Address of a file, fetched at publishing."
    )
    name: str | None = Field(
        default=None, description="Name that recipients see; by default that of the file."
    )
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        default=None, description="Hash of the content; written by publishing."
    )
    size: int | None = Field(default=None, ge=0, description="Bytes; written by publishing.")
    media_type: str | None = Field(
        default=None,
        pattern="^[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*$",
        description="Media type, such as application/pdf; by default by the name.",
    )

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, value: str | None) -> str | None:
        if value is not None and not _is_name(value):
            raise PydanticCustomError(
                "attachment_name", "the name must be one of a file, without a path"
            )
        return value

    @field_validator("file")
    @classmethod
    def _file_is_inside(cls, value: str | None) -> str | None:
        if value is not None:
            path = PurePosixPath(value)
            if path.is_absolute() or ".." in path.parts or not _is_name(path.name):
                raise PydanticCustomError(
                    "attachment_file", "must be a path inside the campaign file's folder"
                )
        return value

    @field_validator("url")
    @classmethod
    def _url_is_a_web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.lower().startswith(("https://", "http://")):
            raise PydanticCustomError("attachment_url", "must be an address with https://")
        return value

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.file is not None and self.url is not None:
            raise PydanticCustomError("attachment_source", "has both `file` and `url`; keep one")
        if self.file is None and self.url is None and self.sha256 is None:
            raise PydanticCustomError("attachment_source", "needs `file` or `url`")
        return self

    def shown_name(self) -> str:
        """Return the name that recipients see."""
        path = self.file if self.url is None else unquote(urlsplit(self.url).path)
        name = self.name or PurePosixPath(path or "").name
        return name if _is_name(name) else "attachment"


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= _LONGEST_NAME
        and name.isprintable()
        and not any(c in name for c in '/\\"')
        and name not in (".", "..")
    )
