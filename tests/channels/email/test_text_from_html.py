"""The text that is derived from HTML reads as the page does, with Liquid at its places."""

from __future__ import annotations

import pytest

from drip_pipeline.channels.email.html import html_to_text
from drip_pipeline.domain.templates.templates import parse

PAGE = """<html><head><title>T</title><style>.a{color:red}</style></head><body>
<h1>Your order</h1>
<table><tr><th>Item</th><th>Qty</th><th>Price</th></tr>
<tr><td>Chair</td><td>2</td><td>19.90</td></tr><tr><td>Table</td><td>1</td><td>99.00</td></tr></table>
<table role="presentation"><tr><td><a href="https://shop.example.com/a">Shop</a></td><td>
<a href="https://shop.example.com/b">Help</a></td></tr></table>
<p>Visit <a href="https://example.com/x?a=1&amp;b=2">https://example.com/x?a=1&amp;b=2</a></p>
<a href="https://example.com/buy"><img src="https://example.com/b.png" alt="Buy now"></a>
<p>Mail <a href="mailto:help@example.com">help@example.com</a> or <a href="tel:+49123">call</a></p>
<ol><li>first</li><li>second</li></ol><ul><li>dot<ul><li>inner</li></ul></li></ul>
<pre>  code
    keeps   blanks</pre><hr><blockquote>quoted</blockquote>
<dl><dt>Term</dt><dd>Meaning</dd></dl><button>Press</button><span>a</span><span>b</span>
<div>one</div>two<div>three</div>
{% if vip %}<p>VIP &amp; friends &lt;3</p>{% else %}<p>Others</p>{% endif %}
<!--[if mso]><table><tr><td>OUTLOOK</td></tr></table><![endif]-->
<p style="display:none">hidden preheader</p><select><option>o1</option><option>o2</option></select>
</body></html>"""

TEXT = """Your order

Item | Qty | Price
Chair | 2 | 19.90
Table | 1 | 99.00

Shop (https://shop.example.com/a)
Help (https://shop.example.com/b)

Visit https://example.com/x?a=1&b=2

Buy now (https://example.com/buy)

Mail help@example.com or call (+49123)

1. first
2. second

- dot
  - inner

  code
    keeps   blanks

--------------------

> quoted

Term
  Meaning

Press ab
one
two
three

VIP & friends <3

o1
o2
"""


def test_a_page_reads_as_text_as_it_does_in_a_browser() -> None:
    template = parse(html_to_text(PAGE), html=False)
    assert template.render({"vip": True}) == TEXT
    assert template.render({}) == TEXT.replace("VIP & friends <3", "Others")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        # tables
        ("<table><tr><td>Total</td><td>9.00</td></tr></table>", "Total | 9.00"),
        (
            "<table><tr><th>A<th>B<th>C<tr><td>1<td><td>3</table>",
            "A | B | C\n1 |  | 3",
        ),
        ("<table><tr><td><p>one</p></td><td><p>two</p></td></tr></table>", "one\n\ntwo"),
        ("<table><tr><th>A<td><p>b<br>c</p></tr></table>", "A | b c"),
        # lists
        ("<ol start=3 type=a><li>x<li><p>y</p><p>z</p></ol>", "c. x\nd. y\n   z"),
        ("<ol><li>x<li value=7>y<li>z</ol>", "1. x\n7. y\n8. z"),
        ("<ol type=I start=9><li>x</ol>", "IX. x"),
        ("<ul><li>a<ol><li>b<li>c</ol><li>d</ul>", "- a\n  1. b\n  2. c\n- d"),
        # links and pictures
        (
            '<a href="https://e.example/"><div>Go</div></a><p>on</p>',
            "Go (https://e.example/)\n\non",
        ),
        ('<a href="https://e.example/"><img src=x></a>', "https://e.example/"),
        ('<a href="https://e.example">https://e.example/</a>', "https://e.example/"),
        ('<a href="mailto:a@e.example?subject=x">write</a>', "write (a@e.example)"),
        ('<a href="javascript:x()">y</a><a name=z>z</a>', "yz"),
        ('<img alt="A"><img alt="B"><img alt="">c', "A B c"),
        # blocks
        (
            "<blockquote><p>a</p><p>b</p><blockquote>c</blockquote></blockquote>d",
            "> a\n>\n> b\n>\n> > c\n\nd",
        ),
        ("a<br>b<br><br>c<br><br><br>d", "a\nb\n\nc\n\nd"),
        ("<pre>\n a  b\n\n  c</pre>d", " a  b\n\n  c\n\nd"),
        ("<p hidden>x</p><p style='color:red; DISPLAY : none'>y</p><p>z", "z"),
        ("<p>a&nbsp;&nbsp;b</p><p>&nbsp;&zwnj;&#847;</p><p>c", "a b\n\nc"),
    ],
)
def test_elements_as_text(html: str, text: str) -> None:
    assert html_to_text(html) == text + "\n"


ITEMS = {"items": [{"n": "n1", "x": True}, {"n": "n2"}]}


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            (
                "<table><tr><th>N<th>X{% for t in items %}<tr><td>{{ t.n }}</td><td>{% if t.x %}yes"
                "{% else %}no{% endif %}</td></tr>{% endfor %}<tr><td>Sum<td>9</table>"
            ),
            "N | X\nn1 | yes\nn2 | no\nSum | 9",
        ),
        (
            "<ol start=3>{% for t in items %}<li>{{ t.n }}</li>{% endfor %}</ol>x",
            "3. n1\n4. n2\n\nx",
        ),
        (
            "<ul>{% for t in items %}<li>{% if t.x %}A{% else %}B{% endif %}</li>{% endfor %}</ul>",
            "- A\n- B",
        ),
        ("<p>a</p>{% if none %}<p>b</p>{% endif %}<p>c</p>", "a\n\nc"),
        ("{% if none %}<p>b</p>{% else %}a{% endif %}<p>c</p>", "a\n\nc"),
        ("{% case none %}{% when 1 %}<p>b</p>{% else %}a{% endcase %}<p>c</p>", "a\n\nc"),
        ("{% for t in items %}<div>{{ t.n }}</div>x{% endfor %}", "n1\nx\nn2\nx"),
        ("a {% if items %}b{% endif %} c{% unless items %} d{% endunless %}", "a b c"),
        (
            "<a {% if none %}href='https://a.example'{% else %}href='b.example'{% endif %}>Go</a>",
            "Go (b.example)",
        ),
        ('<img alt="{{ items[0].n }}">{% raw %}{{ x }}{% endraw %}', "n1 {{ x }}"),
    ],
)
def test_liquid_blocks_keep_their_lines_inside(html: str, text: str) -> None:
    assert parse(html_to_text(html), html=False).render(ITEMS).rstrip() == text
