"""What user agents say of devices and machines."""

from __future__ import annotations

import pytest

from drip_pipeline.domain.events.user_agents import device_type, is_machine_open, is_scanner

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120"
)
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
IPAD = "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
PIXEL = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36"
)
TABLET = "Mozilla/5.0 (Linux; Android 13; SM-X200) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
CUBOT = "Mozilla/5.0 (Linux; Android 10; CUBOT NOTE 20) AppleWebKit/537.36 Mobile Safari/537.36"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (CHROME, "desktop"),
        (MAC, "desktop"),
        (IPHONE, "mobile"),
        (IPAD, "tablet"),
        (PIXEL, "mobile"),
        (TABLET, "tablet"),
        (CUBOT, "mobile"),
        (GMAIL, "desktop"),
        ("Googlebot/2.1 (+http://www.google.com/bot.html)", "bot"),
        ("Mozilla/5.0", None),
        ("", None),
    ],
)
def test_devices_are_distinguished(user_agent, device):
    assert device_type(user_agent) == device


@pytest.mark.parametrize("user_agent", [CHROME, MAC, IPHONE, IPAD, PIXEL, TABLET, GMAIL, CUBOT, ""])
def test_persons_are_not_classified_as_machines(user_agent):
    assert not is_machine_open(user_agent)
    assert not is_scanner(user_agent)


@pytest.mark.parametrize(
    "user_agent",
    [
        "Barracuda Sentinel (EE)",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "python-requests/2.31.0",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        "Microsoft Office Existence Discovery",
    ],
)
def test_self_declared_programs_are_machines(user_agent):
    assert is_scanner(user_agent)
    assert is_machine_open(user_agent)


def test_the_bare_agent_is_a_machine_for_opens_and_a_person_for_clicks():
    assert is_machine_open("Mozilla/5.0")
    assert is_machine_open(" Mozilla/5.0 ")
    assert not is_scanner("Mozilla/5.0")
