"""Parameters of links: added once, and nothing else of a link changes."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.templates.parameters_of_links import (
    html_with_parameters,
    text_with_parameters,
    with_parameters,
)

PARAMETERS = (("utm_source", "a&b"), ("utm_medium", "email"))
SAFE = st.text("abcXYZ019-._~%2F", max_size=8)
URLS = st.builds(
    lambda path, query, fragment: f"https://acme.io/{path}{query}{fragment}",
    SAFE,
    st.one_of(
        st.just(""),
        st.just("?"),
        st.just("?utm_source=own"),
        SAFE.map(lambda value: f"?q={value}&empty="),
    ),
    st.one_of(st.just(""), SAFE.map(lambda value: f"#{value}")),
)


@given(URLS)
def test_parameters_are_added_once_and_the_rest_stays(url: str):
    changed = with_parameters(url, PARAMETERS)
    assert with_parameters(changed, PARAMETERS) == changed
    before, after = urlsplit(url), urlsplit(changed)
    assert (after.scheme, after.netloc, after.path, after.fragment) == (
        before.scheme, before.netloc, before.path, before.fragment
    )  # fmt: skip
    own = parse_qsl(before.query, keep_blank_values=True)
    new = parse_qsl(after.query, keep_blank_values=True)
    assert new[: len(own)] == own
    assert dict(new)["utm_medium"] == "email"
    assert dict(new)["utm_source"] == dict(own).get("utm_source", "a&b")


@given(URLS)
def test_excluded_links_and_other_texts_stay(url: str):
    text = f"Look: {url} (mailto:a@acme.io)"
    html = f'<p>{url}</p><a href="mailto:a@acme.io">x</a><a href="#a">y</a>'
    assert text_with_parameters(text, PARAMETERS, [url.rstrip(".,;:!?)]}")]) == text
    assert html_with_parameters(html, PARAMETERS, []) == html
