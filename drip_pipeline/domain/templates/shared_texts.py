"""Write partials and the layout into the texts of messages, at publishing.

`{% render 'footer' %}` becomes the text of the partial, so that the published version contains what
is sent, and styles are inlined and texts derived as if it had been written there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from drip_pipeline.domain.templates.partial_tag import PARTIAL
from drip_pipeline.domain.templates.templates import MAX_TEMPLATE_CHARACTERS
from drip_pipeline.errors import TemplateError

LAYOUT: Final = "layout"
"""The template that HTML mails are put into, unless a mail says otherwise."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_DEEPEST: Final = 10
_CONTENT: Final = re.compile(r"\{\{-?\s*content\s*-?\}\}")
# A construct whose text is not read, or the tag `render`.
_TAGS: Final = re.compile(
    r"\{%-?\s*(raw|comment)\b[^%]*%\}.*?\{%-?\s*end\1\s*-?%\}"
    r"|(?P<open>\{%-?)\s*(?P<tag>render|partial|include)\b(?P<call>.*?)(?P<close>-?%\})",
    re.DOTALL,
)
_CALL: Final = re.compile(r"\s*(?:'(?P<one>[^']*)'|\"(?P<two>[^\"]*)\")(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SharedText:
    """A template that messages share: its form for HTML and its form for plain texts."""

    html: str | None
    text: str | None

    def form(self, *, html: bool) -> str | None:
        """Return the form for HTML or for plain texts; None if there is none."""
        return self.html if html else self.text


def names_rendered(text: str) -> Iterator[str]:
    """Yield the names that a text renders, as they are written."""
    for match in _TAGS.finditer(text):
        call = _CALL.fullmatch(match["call"] or "") if match["tag"] == "render" else None
        if call is not None:
            yield call["one"] if call["one"] is not None else call["two"]


def expanded(text: str, shared: Mapping[str, SharedText], *, html: bool) -> str:
    """Return the text with its partials written out.

    Raises TemplateError, with the line, for an unknown name, one without this form, a name that is
    not in quotes, partials that render each other, and a text that becomes too long.
    """
    if "{%" not in text:
        return text
    return _expanded(text, shared, html, ())


def _expanded(
    text: str, shared: Mapping[str, SharedText], html: bool, inside: tuple[str, ...]
) -> str:
    parts: list[str] = []
    size = at = 0
    for match in _TAGS.finditer(text):
        if match["tag"] is None:
            continue
        line = text.count("\n", 0, match.start()) + 1
        name, rest = _called(match, line)
        body = _body(name, shared, html, inside, line)
        parts += [
            text[at : match.start()],
            f"{match['open']} {PARTIAL} '{name}'{rest} %}}",
            body,
            f"{{% end{PARTIAL} {match['close']}",
        ]
        at = match.end()
        size += len(body)
        if size > MAX_TEMPLATE_CHARACTERS:
            raise TemplateError(
                f"line {line}: with its partials the text has more than"
                f" {MAX_TEMPLATE_CHARACTERS:,} characters"
            )
    return "".join([*parts, text[at:]]) if parts else text


def _called(match: re.Match[str], line: int) -> tuple[str, str]:
    """Return the name and the arguments of a `render`. Raises TemplateError."""
    if match["tag"] != "render":
        raise TemplateError(f"line {line}: {match['tag']} is not available; use render 'name'")
    call = _CALL.fullmatch(match["call"])
    if call is None:
        raise TemplateError(f"line {line}: write the name of the template in quotes: render 'name'")
    return (call["one"] if call["one"] is not None else call["two"]), call["rest"].rstrip()


def _body(
    name: str,
    shared: Mapping[str, SharedText],
    html: bool,
    inside: tuple[str, ...],
    line: int,
) -> str:
    if name in inside:
        chain = " → ".join([*inside[inside.index(name) :], name])
        raise TemplateError(f"line {line}: templates render each other without end: {chain}")
    if len(inside) >= _DEEPEST:
        raise TemplateError(f"line {line}: templates are nested deeper than {_DEEPEST} levels")
    text = shared.get(name)
    if text is None:
        close = get_close_matches(name, shared, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise TemplateError(f"line {line}: there is no template {name!r}{hint}")
    form = text.form(html=html)
    if form is None:
        what, suffix = ("HTML", "html") if html else ("text", "txt")
        raise TemplateError(
            f"line {line}: template {name!r} has no {what} form; add templates/{name}.{suffix}, or"
            f" {name}.liquid for both"
        )
    return _expanded(form, shared, html, (*inside, name))


def in_layout(html: str, layout: str) -> str:
    """Return the HTML of a mail inside the layout, both written out.

    Raises TemplateError for a layout that does not have `{{ content }}` exactly once.
    """
    places = list(_CONTENT.finditer(layout))
    if len(places) != 1:
        raise TemplateError(
            f"a layout has {{{{ content }}}} exactly once, where the mail goes; this one has it"
            f" {len(places)} times"
        )
    (place,) = places
    return layout[: place.start()] + html + layout[place.end() :]


def is_complete_page(html: str) -> bool:
    """Return whether the HTML is a page of its own, which no layout is put around."""
    start = html.lstrip()[:200].lower()
    return start.startswith("<!doctype") or "<html" in start
