"""What happens to an email's HTML and text at publish: styles inlined, text made, footer added.

Works on templates, so Liquid is shielded. What happens to each person's message (preheader, MIME)
stands in email_message.py.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

from drip_pipeline.channels.email.liquid_placeholders import LIQUID_WORD, LiquidShield
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
    """The template with the rules of its `<style>` elements written into the elements they style.

    What cannot be inlined (media queries, `:hover`) stays in `<style>`. Nothing is loaded, neither
    from the network nor from files. A template without `<style>` comes back unchanged. Raises
    TemplateError when a Liquid construct stands where HTML cannot keep it.
    """
    if _STYLE.search(html) is None:
        return html
    import css_inline  # only publishing needs it

    inliner = css_inline.CSSInliner(
        load_remote_stylesheets=False,
        keep_style_tags=True,
        keep_link_tags=True,
        remove_inlined_selectors=True,
    )
    shield = LiquidShield(html)
    try:
        inlined = inliner.inline(shield.text)
    except css_inline.InlineError as error:
        raise TemplateError(f"the styles cannot be inlined: {error}") from None
    return shield.restore(inlined)


def with_html_footer(html: str) -> str:
    """The HTML template, with a visible unsubscribe link at its end if it reads none itself."""
    if UNSUBSCRIBE_VARIABLE in parse(html, html=True).variables:
        return html
    ends = list(_END_OF_BODY.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + HTML_FOOTER + html[at:]


def with_text_footer(text: str) -> str:
    """The text template, with an unsubscribe link at its end if it reads none itself."""
    if UNSUBSCRIBE_VARIABLE in parse(text, html=False).variables:
        return text
    return text.rstrip() + TEXT_FOOTER


def html_to_text(html: str) -> str:
    """A text template for an HTML template that comes without one.

    Paragraphs and lists become lines, links are followed by their address in brackets, styles and
    scripts are left out. Simple on purpose: a text that matters is written by its author.
    """
    shield = LiquidShield(html)
    reader = _TextReader()
    reader.feed(shield.text)
    reader.close()
    lines = [_WHITE_SPACE.sub(" ", line).strip() for line in "".join(reader.pieces).split("\n")]
    text = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip() + "\n"
    restored = shield.restore(text, may_lose=True)
    try:
        parse(restored, html=False)
    except TemplateError:
        raise TemplateError(
            "no text can be made from this HTML: a Liquid block begins or ends inside a tag",
            hint="Write the text body yourself.",
        ) from None
    return restored


class _TextReader(HTMLParser):
    """Collects the text in `pieces`; of the comments only shielded Liquid stays."""

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
            self._say("\n" if tag == "br" else "\n- ")
        elif tag in self._PARAGRAPHS:
            self._say("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links:
            link = self._links.pop()
            if link and not link.startswith("#"):
                self._say(f" ({link})")
        self._silent -= tag in self._SILENT and self._silent > 0
        if tag in self._PARAGRAPHS or tag in self._LINES:
            self._say("\n\n" if tag in self._PARAGRAPHS else "\n")

    def handle_data(self, data: str) -> None:
        self._say(_WHITE_SPACE.sub(" ", data))

    def handle_comment(self, data: str) -> None:
        if LIQUID_WORD.fullmatch(data):
            self._say(f"<!--{data}-->")

    def _say(self, text: str) -> None:
        if not self._silent:
            self.pieces.append(text)
