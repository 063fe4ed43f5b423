"""Prepare an email's templates at publish: inline styles, derive the text, add footers.

Liquid is replaced by placeholders meanwhile. The text is written by text_from_html.py; steps per
message (preheader, MIME) are in message.py.
"""

from __future__ import annotations

import re
from typing import Final

from drip_pipeline.channels.email.liquid_placeholders import STYLE, LiquidPlaceholders
from drip_pipeline.channels.email.text_from_html import text_of
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
_DOCTYPE: Final = re.compile(r"<!doctype\b[^>]*>", re.IGNORECASE)


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
    hidden = LiquidPlaceholders(html, merged=(STYLE,))
    try:
        inlined = inliner.inline(hidden.text)
    except css_inline.InlineError as error:
        raise TemplateError(f"the styles cannot be inlined: {error}") from None
    doctype = _DOCTYPE.search(hidden.text)
    if doctype is not None:  # the inliner writes HTML5's, which changes how some clients lay out
        inlined = _DOCTYPE.sub(lambda _: doctype.group(), inlined, count=1)
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

    It reads as the page does; links are followed by their URL in parentheses. Raises TemplateError
    if a Liquid block begins or ends inside a tag.
    """
    hidden = LiquidPlaceholders(html, merged=("href", "alt"))
    restored = hidden.restore(text_of(hidden), may_lose=True)
    try:
        parse(restored, html=False)
    except TemplateError:
        raise TemplateError(
            "no text can be derived from this HTML: a Liquid block begins or ends inside a tag",
            hint="Write the text body yourself.",
        ) from None
    return restored
