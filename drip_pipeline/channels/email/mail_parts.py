"""Read the parts of a rendered HTML mail that a preview shows: links, images, other elements."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

_SIZED_BY_STYLE: Final = re.compile(r"(?:^|;)\s*(?:max-)?width\s*:", re.IGNORECASE)
_HIDDEN: Final = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SPACE: Final = re.compile(r"\s+")
_TEXT_URL: Final = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
UNSUPPORTED: Final = frozenset(
    {"audio", "embed", "form", "iframe", "input", "object", "script", "select", "textarea", "video"}
)
"""Elements that mail programs remove or block."""


@dataclass(slots=True)
class HtmlLink:
    """A link: the text or the alternative text of its images, and its target."""

    text: str
    target: str


@dataclass(frozen=True, slots=True)
class HtmlImage:
    """An image. `alt` is None without the attribute; `is_sized`: it has a width. `is_pixel`: it is
    a tracking pixel."""

    source: str
    alt: str | None
    is_sized: bool
    is_pixel: bool


@dataclass(slots=True)
class MailParts:
    """The links, images and unsupported elements of a mail, in order."""

    links: list[HtmlLink] = field(default_factory=list)
    images: list[HtmlImage] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)


def mail_parts(html: str) -> MailParts:
    """Return the parts of an HTML mail."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    parts = parser.parts
    for link in parts.links:
        link.text = _SPACE.sub(" ", link.text).strip()
    return parts


def text_links(text: str) -> list[str]:
    """Return the web addresses of a plain text, in order."""
    return [url.rstrip(".,;:!?)]}") for url in _TEXT_URL.findall(text)]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts = MailParts()
        self._open: HtmlLink | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(reversed(attrs))  # of a repeated attribute the first counts
        if tag == "a":
            # An anchor without href is a target, not a link.
            self._open = HtmlLink("", (values.get("href") or "").strip())
            if "href" in values:
                self.parts.links.append(self._open)
        elif tag == "img":
            self._image(values)
        elif tag in UNSUPPORTED:
            self.parts.unsupported.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.text += data

    def _image(self, values: dict[str, str | None]) -> None:
        style = values.get("style") or ""
        width, height = values.get("width"), values.get("height")
        alt = values.get("alt", "") if "alt" in values else None
        image = HtmlImage(
            (values.get("src") or "").strip(),
            alt if alt is not None or "alt" not in values else "",
            bool(width) or _SIZED_BY_STYLE.search(style) is not None,
            (width == "1" and height == "1") or _HIDDEN.search(style) is not None,
        )
        self.parts.images.append(image)
        if self._open is not None and image.alt:
            self._open.text += f" {image.alt}"
