from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.templates.tracked_links import (
    LONGEST_URL,
    with_tracked_links,
    with_tracking_pixel,
)


class Links(HTMLParser):
    """Collects the targets of all anchors and the sources of all images, like a browser."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.anchors: list[str | None] = []
        self.images: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.anchors += [value for name, value in attrs if name == "href"]
        if tag == "img":
            self.images += [value for name, value in attrs if name == "src"]


def tracked(html: str, excluded: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    urls: list[str] = []

    def tracked_url(url: str) -> str:
        urls.append(url)
        return f"https://t.example.com/c/{len(urls)}"

    return with_tracked_links(html, tracked_url, excluded), urls


def test_web_links_are_replaced_and_the_rest_of_the_html_stays():
    html = '<p>Hi <a class="x" href="https://shop.example.com/?a=1&amp;b=2">there</a> &amp; on</p>'
    result, urls = tracked(html)
    assert urls == ["https://shop.example.com/?a=1&b=2"]
    assert result == '<p>Hi <a class="x" href="https://t.example.com/c/1">there</a> &amp; on</p>'


@pytest.mark.parametrize(
    ("html", "url"),
    [
        ('<a href="HTTPS://EXAMPLE.com/A">x</a>', "HTTPS://EXAMPLE.com/A"),
        ("<A HREF='Http://example.com'>x</A>", "Http://example.com"),
        (
            "<a class=b href=https://example.com/a?b=1&amp;c=2>x</a>",
            "https://example.com/a?b=1&c=2",
        ),
        ('<a href=" https://example.com/ ">x</a>', "https://example.com/"),
    ],
)
def test_links_in_capitals_and_without_quotes_are_tracked(html: str, url: str) -> None:
    result, urls = tracked(html)
    assert urls == [url]
    assert Links(result).anchors == ["https://t.example.com/c/1"]


@pytest.mark.parametrize(
    "html",
    [
        '<a href="mailto:ada@example.com">x</a>',
        '<a href="tel:+15005550006">x</a>',
        '<a href="#top">x</a>',
        '<a href="/relative">x</a>',
        '<a href="javascript:alert(1)">x</a>',
        "<a name=here>x</a>",
        '<link href="https://example.com/style.css">',
        '<area-of href="https://example.com/">',
        '<img src="https://example.com/picture.png">',
        f'<a href="https://example.com/{"x" * LONGEST_URL}">x</a>',
        '<a href="https://example.com/u/keep">x</a>',
        "plain text with https://example.com/ in it",
        '<a href="https://example.com/ no end',
    ],
)
def test_other_links_stay_unchanged(html):
    result, urls = tracked(html, excluded=("https://example.com/u/keep",))
    assert (result, urls) == (html, [])


@pytest.mark.parametrize(
    "anchor",
    [
        "<A HREF='HTTPS://example.com/'>",
        '<a\n  title="a > b"\n  href = "HTTPS://example.com/" >',
        '<a data-href="no" href="HTTPS://example.com/">',
    ],
)
def test_anchors_are_found_in_every_notation(anchor):
    result, urls = tracked(f"{anchor}x</a>")
    assert urls == ["HTTPS://example.com/"]
    assert Links(result).anchors == ["https://t.example.com/c/1"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=30)))
def test_an_html_parser_finds_one_tracked_link_per_web_link(paths):
    from html import escape

    urls_in_html = [f"https://example.com/{path.strip()}" for path in paths]
    html = "".join(f'<a href="{escape(url)}">x</a>' for url in urls_in_html)
    result, urls = tracked(html)
    printable = [url for url in urls_in_html if url.isprintable()]
    assert urls == printable
    assert len(Links(result).anchors) == len(urls_in_html)


@pytest.mark.parametrize(
    ("html", "before"),
    [
        ("<html><body><p>x</p></body></html>", "</body></html>"),
        ("<p>x</p>", ""),
        ("<p>&lt;/body&gt;</p></BODY >", "</BODY >"),
    ],
)
def test_the_pixel_is_at_the_end_of_the_body(html, before):
    result = with_tracking_pixel(html, "https://t.example.com/o/1?a&b")
    assert Links(result).images == ["https://t.example.com/o/1?a&b"]
    assert result.endswith(f'border:0">{before}')
