"""Generate contacts as a contacts file: several time zones, some unsubscribed, some without a
company.

Seeded: the contacts are the same every time. They do not exist; the addresses end in domains that
are reserved for examples.
"""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random
from typing import Final

CONTACTS: Final = 10_000
ADDRESSES: Final = r"^person[0-9]{5,}@example[.](com|org|net)$"
"""The pattern of the generated addresses."""
_SEED: Final = 20260105
_FIRST_NAMES: Final = (
    "Ada Amir Ana Ben Bea Caro Chen Dana Dev Elif Emil Eva Femi Finn Gala Hana Hugo Ida Igor Ines "
    "Jana Joon Kai Kira Lars Lea Lin Luca Mara Max Mei Mina Nia Nils Noor Olga Omar Pia Quinn Rafa "
    "Rosa Sam Sana Sven Tara Tom Uma Vera Will Yara Yuki Zoe José Łukasz Þóra Søren Zoë"
)
_LAST_NAMES: Final = (
    "Abel Adler Bauer Berg Blanc Brandt Castro Cho Costa Diaz Duarte Ek Faber Ferro Fuchs Garcia "
    "Grant Haas Hoff Ito Jansen Kato Klein Koch Lang Lima Lund Meyer Mori Nagy Novak Okoro Olsen "
    "Park Patel Pohl Quist Reyes Rossi Sato Silva Sousa Tanaka Torres Ueda Vogel Weber Wu Yilmaz"
)
_COMPANY_NAMES: Final = (
    "Acorn Birch Cedar Delta Ember Fjord Grove Harbor Indigo Juniper Kestrel Larch Meadow Nimbus "
    "Orchard Prairie Quartz Ridge Summit Tidal Umber Valley Willow"
)
_KINDS: Final = ("Works", "Labs", "Foods", "Studio", "Supply", "Care", "Books", "Tools")
_TITLES: Final = ("Owner", "Head of Marketing", "Engineer", "Buyer", "Analyst", "Founder", "")
_ZONES: Final = (
    ("Europe/Berlin", 30),
    ("America/New_York", 25),
    ("America/Los_Angeles", 15),
    ("Asia/Tokyo", 10),
    ("Australia/Sydney", 8),
    ("America/Sao_Paulo", 7),
    ("UTC", 5),
)
COLUMNS: Final = (
    "email",
    "name",
    "company",
    "phone",
    "job_title",
    "ai_score",
    "status",
    "tags",
    "timezone",
    "plan",
    "days_since_order",
    "unsubscribed",
)


def write_contacts(path: Path, contacts: int = CONTACTS) -> None:
    """Write a contacts file with this number of contacts."""
    chance = Random(_SEED)
    first_names, last_names = _FIRST_NAMES.split(), _LAST_NAMES.split()
    companies = _COMPANY_NAMES.split()
    zones = [zone for zone, _ in _ZONES]
    weights = [weight for _, weight in _ZONES]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(contacts):
            first, last = chance.choice(first_names), chance.choice(last_names)
            company = f"{chance.choice(companies)} {chance.choice(_KINDS)}"
            status = chance.choices(("prospect", "lead", "customer", "contact"), (45, 25, 25, 5))[0]
            tags = ["newsletter"] if chance.random() < 0.7 else []
            tags += ["evaluation"] if status == "prospect" and chance.random() < 0.5 else []
            tags += ["lapsed"] if status == "customer" and chance.random() < 0.6 else []
            writer.writerow(
                (
                    f"person{number:05d}@example.{chance.choice(('com', 'org', 'net'))}",
                    f"{first} {last}",
                    company if chance.random() < 0.85 else "",
                    f"+1555{number:07d}",
                    chance.choice(_TITLES),
                    min(100, max(0, round(chance.gauss(45, 22)))),
                    status,
                    ",".join(tags),
                    chance.choices(zones, weights)[0],
                    chance.choice(("free", "team", "business")),
                    chance.randint(1, 400),
                    "yes" if chance.random() < 0.03 else "",
                )
            )
