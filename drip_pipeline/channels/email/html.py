"""Prepare an email's templates at publish: inline styles, derive the text, add footers.

Liquid is replaced by placeholders meanwhile. Steps per message (preheader, MIME) are in message.py.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

from drip_pipeline.channels.email.liquid_placeholders import LIQUID_WORD, LiquidPlaceholders
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateError

UNSUBSCRIBE_VARIABLE: Final = "unsubscribe_url"
HTML_FOOTER: Final = (
    '<p style="font-size:12px;color:#666;text-align:center">'
    '<a href="{{ unsubscribe_url }}" style="color:#666">Unsubscribe</a></p>'
)
TEXT_FOOTER: Final = "\n\n--\nUnsubscribe: {{ unsubscribe_url }}\n"

_STYLE: Final = re.compile(r"<style\b", re.IGNORECASE)
_END_OF_BODY: Final = re.compile(r"</body\s*>", re.IGNORECASE)
_WHITE_SPACE: Final = re.compile(r"\s+")
_BLANK_LINES: Final = re.compile(r"\n{3,}")


def inline_css(html: str) -> str:
    """Return the template with the rules of its `<style>` elements inlined.

    Rules that cannot be inlined (media queries, `:hover`) stay in `<style>`. Nothing is loaded from
    the network or from files. A template without `<style>` is returned unchanged. Raises
    TemplateError if HTML cannot keep a Liquid construct at its position.
    """
    if _STYLE.search(html) is None:
        return html
    import css_inline  # imported here: only publishing needs it

    inliner = css_inline.CSSInliner(
        load_remote_stylesheets=False,
        keep_style_tags=True,
        keep_link_tags=True,
        remove_inlined_selectors=True,
    )
    hidden = LiquidPlaceholders(html)
    try:
        inlined = inliner.inline(hidden.text)
    except css_inline.InlineError as error:
        raise TemplateError(f"the styles cannot be inlined: {error}") from None
    return hidden.restore(inlined)


def with_html_footer(html: str) -> str:
    """Add a visible unsubscribe link at the end of the HTML template, unless it has one."""
    if UNSUBSCRIBE_VARIABLE in parse(html, html=True).variables:
        return html
    ends = list(_END_OF_BODY.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + HTML_FOOTER + html[at:]


def with_text_footer(text: str) -> str:
    """Add an unsubscribe link at the end of the text template, unless it has one."""
    if UNSUBSCRIBE_VARIABLE in parse(text, html=False).variables:
        return text
    return text.rstrip() + TEXT_FOOTER


def html_to_text(html: str) -> str:
    """Derive a text template from an HTML template.

    Paragraphs and list items become lines, links are followed by their URL in parentheses, styles
    and scripts are removed. Deliberately simple: authors who need more write the text themselves.
    Raises TemplateError if a Liquid block begins or ends inside a tag.
    """
    hidden = LiquidPlaceholders(html)
    reader = _TextReader()
    reader.feed(hidden.text)
    reader.close()
    lines = [_WHITE_SPACE.sub(" ", line).strip() for line in "".join(reader.pieces).split("\n")]
    text = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip() + "\n"
    restored = hidden.restore(text, may_lose=True)
    try:
        parse(restored, html=False)
    except TemplateError:
        raise TemplateError(
            "no text can be derived from this HTML: a Liquid block begins or ends inside a tag",
            hint="Write the text body yourself.",
        ) from None
    return restored


class _TextReader(HTMLParser):
    """Collects the text in `pieces`; of comments, only Liquid placeholders are kept."""

    _PARAGRAPHS: Final = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol"})
    _LINES: Final = frozenset({"div", "tr", "section", "header", "footer"})
    _SILENT: Final = frozenset({"style", "script", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._links: list[str | None] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._links.append(dict(attrs).get("href"))
        self._silent += tag in self._SILENT
        if tag in ("br", "li"):
            self._append("\n" if tag == "br" else "\n- ")
        elif tag in self._PARAGRAPHS:
            self._append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links:
            link = self._links.pop()
            if link and not link.startswith("#"):
                self._append(f" ({link})")
        self._silent -= tag in self._SILENT and self._silent > 0
        if tag in self._PARAGRAPHS or tag in self._LINES:
            self._append("\n\n" if tag in self._PARAGRAPHS else "\n")

    def handle_data(self, data: str) -> None:
        self._append(_WHITE_SPACE.sub(" ", data))

    def handle_comment(self, data: str) -> None:
        if LIQUID_WORD.fullmatch(data):
            self._append(f"<!--{data}-->")

    def _append(self, text: str) -> None:
        if not self._silent:
            self.pieces.append(text)
