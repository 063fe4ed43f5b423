"""Retired words stay out of product code, SQL, docs and examples: one concept has one name, and it
is the field's standard term. Contracts (event types, exit reasons) are exempt.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections import Counter
from pathlib import Path

import pytest

from drip_pipeline.settings import CHECKOUT

# Retired word (a regular expression over lower-case text) → what is written instead.
WORDS = {
    r"told": "message, summary, detail, reported",
    r"whoever|whomever|whom": "name the process, client or contact",
    r"anew": "again, from scratch",
    r"newcomers?": "new enrollments, new entrants",
    r"ways? out": "transport, outgoing edge",
    r"outlets?": "transport",
    r"(in )?doubts?|doubtful": "outcome unknown",
    r"the door|let in|lets in|letting in": "admission, admit, enroll",
    r"keeps? house|housekeeping": "retention",
    r"last gate": "eligibility check",
    r"wish|wishes|wished": "request, keyword",
    r"unheeded": "ignored",
    r"misfits?": "rejected line",
    r"lanes?": "partition, queue",
    r"moments?": "timestamp, instant",
    r"stretch(es)?": "range, interval",
    r"circles?": "cycle",
    r"culprits?": "failing row",
    r"slices?": "chunk",
    r"pictures?": "diagram, image, tracking pixel",
    r"figures?": "metrics, numbers",
    r"laws?": "invariant",
    r"books balance": "totals reconcile",
    r"ledgers?": "batch log",
    r"cockpit": "overview",
    r"verbs?": "use case, command",
    r"faces?": "interface",
    r"rooms?": "package",
    r"trials?": "test notification, check",
    r"gauges?": "metrics exporter",
    r"rescues?d?|rescuing": "recover",
    r"wakes?|woken|waking": "resume",
    r"endings?": "exit",
    r"unsaid|unasked|bespoke": "plain words",
    r"carry on|carries on|carried on": "advance, continue",
    r"stands? (in|at|on)": "is in, is at",
    r"goes? round|going round": "loops",
    r"hungry|tired|gone for good|for good": "plain words",
    r"a person has to|an eye": "needs manual confirmation, needs attention",
    r"enrol|enrols|enrolments?|e-mails?|cancelled|catalogues?": "US spelling",
    r"judgement|grey|centres?": "US spelling",
    r"\w*colour\w*|behaviours?|neighbours?|favour\w*|honour\w*": "US spelling",
    r"(recogni|seriali|materiali|normali|randomi|initiali)s(e|es|ed|ing|ation)": "US spelling",
}
# Retired as names in Python: a name is a noun or a verb, not a participle.
IDENTIFIERS = {
    "told",
    "_told",
    "found",
    "given",
    "wanted",
    "known",
    "made",
    "whose",
    "people",
    "wish",
}

TEXTS = sorted(
    path
    for pattern in (
        "drip_pipeline/**/*.py", "assets/*.py", "sensors/*.py", "sql/**/*.sql", "docs/**/*.md",
        "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/**/*.md", "examples/**/*.yaml",
        "examples/**/*.py", "deploy/**/*.md", "deploy/**/*.yaml", "Makefile",
    )
    for path in CHECKOUT.glob(pattern)
)  # fmt: skip
# Contracts (event types), names of Python, HTML and SVG, an old migration, values of a data set.
EXEMPT = re.compile(
    r"subscription_cancelled|cancellederror|trial_started|started a trial|<circle|\bslice\("
    r"|trial_activation"
    r"|prometheus_client import gauge|</?figure|figure ?[{,]|section,figure|figure svg"
    r'|"figure",'
    r"|0006_create_outbox_and_ledger|(mens|no) e-mail"
)
RETIRED = re.compile(r"(?<![a-z])(?:" + "|".join(f"(?:{word})" for word in WORDS) + r")(?![a-z])")


def retired_words(text: str) -> Counter[str]:
    """Count the retired words of a text; an underscore separates words."""
    plain = EXEMPT.sub(" ", text.lower())
    return Counter(match.group() for match in RETIRED.finditer(re.sub(r"[\s_]+", " ", plain)))


def retired_names(source: str) -> Counter[str]:
    """Count the retired identifiers of a Python source."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return Counter(
        token.string
        for token in tokens
        if token.type == tokenize.NAME and token.string in IDENTIFIERS
    )


def replacement(word: str) -> str:
    """What is written instead of a retired word."""
    return next(better for rule, better in WORDS.items() if re.fullmatch(rule, word))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_no_retired_word_is_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    words = {word: f"{n} ×, write: {replacement(word)}" for word, n in retired_words(text).items()}
    names = retired_names(text) if path.suffix == ".py" else Counter[str]()
    assert (words, dict(names)) == ({}, {})


def test_retired_words_and_names_are_noticed() -> None:
    assert retired_words("Told of the ways\nout: whoever_comes; enrolment") == {
        "told": 1,
        "ways out": 1,
        "whoever": 1,
        "enrolment": 1,
    }
    assert retired_words("subscription_cancelled") == {}
    assert retired_names("found = given.told") == {"found": 1, "given": 1, "told": 1}
