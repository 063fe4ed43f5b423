"""Publishing knows where the data of an enrollment can be read."""

from __future__ import annotations

from tests.domain.campaign_files import File, branching, codes, linear, problems


def with_subject(subject: str) -> File:
    """Return a file with one email of this subject."""
    file = linear()
    file["steps"][-1]["channel_config"]["email"]["subject"] = subject
    return file


def test_entry_data_exists_in_texts_to_a_contact_and_in_conditions_and_not_in_posts() -> None:
    file = with_subject("{{ entry.order_id }}")
    assert codes(file) == set()
    file = with_subject("{{ sku }}")
    (unknown,) = problems(file)
    assert "read as entry.sku" in unknown.message
    total = {"type": "field", "field": "entry.total", "operator": ">", "value": 1}
    file = branching()
    branch = next(s for s in file["steps"] if "conditional_branches" in s)
    branch["conditional_branches"][0]["condition"] = total
    assert codes(file) == set()
    post = {"type": "social", "config": {"platform": "twitter", "content": "{{ entry.order_id }}"}}
    assert ("act", "social_personal") in codes(
        linear({"node_id": "act", "node_type": "action", "action_config": post})
    )
