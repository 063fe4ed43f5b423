"""HTML at publish: inlining keeps Liquid intact; text and footers are derived."""

from __future__ import annotations

import html as html_escapes
import re
from pathlib import Path

import pytest

from drip_pipeline.channels.email.html import (
    html_to_text,
    inline_css,
    with_html_footer,
    with_text_footer,
)
from drip_pipeline.channels.email.liquid_placeholders import LiquidPlaceholders
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import TemplateError

PAGE = """<!DOCTYPE html>
<html><head><title>{{ title }}</title><style>
p { color: {{ brand_color }} } a:hover { color: green }
@media (max-width: 600px) { p { color: blue } }
</style></head>
<body class="{{ theme }}"><p {% if vip > 1 %}class="big"{% endif %}>Hi {{ name | default: "a > b" }}
{% if a > b and c < d %}yes{% endif %}</p>
<table>{% for t in tags %}<tr><td>{{ t }}</td></tr>{% endfor %}</table>
<!--[if mso]><p>{{ mso }}</p><![endif]-->
<a href="{{ unsubscribe_url }}&amp;x={{ name | default: 'y' }}">bye</a>
{% raw %}{{ raw }}{% endraw %}
</body></html>"""
CONTEXT = {
    "title": "T",
    "brand_color": "red",
    "theme": "dark",
    "vip": 2,
    "a": 2,
    "b": 1,
    "c": 1,
    "d": 2,
    "tags": ["one", "two"],
    "mso": "outlook",
    "unsubscribe_url": "https://example.com/u",
}


def test_styles_are_inlined_and_media_queries_stay() -> None:
    result = parse(inline_css(PAGE), html=True).render(CONTEXT)
    assert 'style="color: red' in result
    assert "@media (max-width: 600px)" in result
    assert "a:hover" in result
    assert result.startswith("<!DOCTYPE html>")


def test_inlining_keeps_every_liquid_construct_where_it_was() -> None:
    inlined = inline_css(PAGE)
    assert parse(inlined, html=True).variables == parse(PAGE, html=True).variables
    result = parse(inlined, html=True).render(CONTEXT)
    assert "<td>one</td>" in result
    assert "<td>two</td>" in result
    assert result.index("<table>") < result.index("<td>one</td>") < result.index("</table>")
    assert "Hi a > b" in result
    assert "yes" in result
    assert 'class="big"' in result
    assert 'class="dark"' in result
    assert '<a href="https://example.com/u&amp;x=y">' in result
    assert "<!--[if mso]><p>outlook</p><![endif]-->" in result
    assert "{{ raw }}" in result


@pytest.mark.parametrize(
    ("attributes", "vip", "others"),
    [
        ('{% if vip %}style="margin:0"{% endif %}', "color: red;margin:0;", "color: red;"),
        (
            '{% if vip %}style="margin:0"{% else %}style=\'margin:9px\' {% endif %} style="top:0"',
            "color: red;margin:0;top:0;",
            "color: red;margin:9px;top:0;",
        ),
        ('style="{% if vip %}color:blue{% endif %}"', "color: red;color:blue;", "color: red;;"),
        ('style="{{ own }}"', "color: red;top:1px;", "color: red;top:1px;"),
        (
            '{% unless vip %} style="margin:0" class="b" {% endunless %} id="x"',
            "color: red;",
            "color: red;margin:0;",
        ),
        (
            """style='font-family:"A B";{{ own | default: "x" }}'""",
            'color: red;font-family:"A B";top:1px',
            'color: red;font-family:"A B";top:1px',
        ),
    ],
)
def test_a_conditional_style_gives_one_attribute(attributes: str, vip: str, others: str) -> None:
    inlined = inline_css(f"<style>p{{color:red}}</style><p {attributes}>x</p>")
    assert inline_css(inlined) == inlined
    for is_vip, expected in ((True, vip), (False, others)):
        page = parse(inlined, html=True).render({"vip": is_vip, "own": "top:1px"})
        (start,) = re.findall(r"<p\b[^>]*>", page)
        assert start.count("style=") == 1
        assert html_escapes.unescape(re.search('style="([^"]*)"', start)[1]) == expected  # type: ignore[index]


def test_attributes_of_a_liquid_block_stay_inside_it() -> None:
    tag = '<p id="i" {% if a %}style="x:y" class="b" title="t"{% endif %}>'
    html = f"<style>p{{top:0}}</style>{tag}x</p>"
    inlined = parse(inline_css(html), html=True)
    assert ' class="b" title="t" ' in inlined.render({"a": True})
    without = inlined.render({"a": False})
    assert 'id="i"' in without
    assert "class" not in without
    assert "title" not in without


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/x.dtd">',
        '<!doctype html SYSTEM "about:legacy-compat">',
        "<!doctype html>",
    ],
)
def test_the_doctype_stays(doctype: str) -> None:
    html = f"{doctype}\n<html><style>p{{color:red}}</style><p>x</p></html>"
    assert inline_css(html).startswith(doctype)


def test_html_without_styles_is_unchanged() -> None:
    assert inline_css("<P>Hi {{ a }}<br/></p>") == "<P>Hi {{ a }}<br/></p>"


def test_nothing_is_loaded_while_inlining(tmp_path: Path) -> None:
    styles = tmp_path / "a.css"
    styles.write_text("p { color: purple }", encoding="utf-8")
    html = f'<link rel="stylesheet" href="{styles}"><style>b {{ color: red }}</style><p>x</p>'
    assert "purple" not in inline_css(html)
    assert f'href="{styles}"' in inline_css(html)


def test_a_construct_that_html_drops_is_reported() -> None:
    with pytest.raises(TemplateError, match="unsubscribe_url"):
        inline_css('<style>p{color:red}</style><p class="a" class="{{ unsubscribe_url }}">x</p>')


def test_words_like_liquid_placeholders_are_kept() -> None:
    html = "<style>p{color:red}</style><p>liquid0z liquidx1z {{ a }}</p>"
    assert "liquid0z liquidx1z {{ a }}</p>" in inline_css(html)
    shield = LiquidPlaceholders(html)
    assert shield.restore(shield.text) == html


def test_a_footer_is_added_only_without_an_unsubscribe_link() -> None:
    assert with_html_footer(PAGE) == PAGE
    footed = with_html_footer("<body><p>Hi</p></BODY>")
    assert footed.startswith("<body><p>Hi</p><p")
    assert footed.endswith("</BODY>")
    assert "unsubscribe_url" in parse(footed, html=True).variables
    assert "unsubscribe_url" in parse(with_html_footer("<p>Hi</p>"), html=True).variables
    # A mention that is no output is no link.
    assert with_html_footer("{% comment %}unsubscribe_url{% endcomment %}").endswith("</p>")

    own = "Stop: {{ unsubscribe_url }}"
    assert with_text_footer(own) == own
    assert with_text_footer("Hi\n\n") == "Hi\n\n--\nUnsubscribe: {{ unsubscribe_url }}\n"


def test_text_is_derived_from_html() -> None:
    html = """<html><head><title>T</title><style>p{}</style></head><body>
      <h1>Hello   {{ name }}</h1><p>Read <a href="https://example.com/?a=1&amp;b=2">this</a>.</p>
      <ul><li>one</li><li>two &amp; three</li></ul>{% if a > b %}<p>more</p>{% endif %}
      <!-- not this --><a href="#top">up</a><br/>last<script>no()</script></body></html>"""
    assert html_to_text(html) == (
        "Hello {{ name }}\n\n"
        "Read this (https://example.com/?a=1&b=2).\n\n"
        "- one\n- two & three\n\n"
        "{% if a > b %}more\n\n{% endif %}up\nlast\n"
    )


def test_liquid_split_by_removed_tags_is_refused() -> None:
    with pytest.raises(TemplateError, match="Liquid block"):
        html_to_text('<p class="{% if a %}x">Hi{% endif %}</p>')
