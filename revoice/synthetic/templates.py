"""What a telephone exchange says, and numbers, times, dates and letters: drawn from templates."""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from num2words import num2words

from revoice.files import RESOURCES

TEMPLATES = RESOURCES / "synthetic" / "templates.yaml"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Draw = Callable[[random.Random], str]


def read_templates(path: Path = TEMPLATES) -> dict[str, Any]:
    """The templates: `groups` (name to share and lines) and `words` (lists by name).

    Raises ValueError for a line with a name that is neither a list nor can be drawn.
    """
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    for group in found["groups"].values():
        for line in group["lines"]:
            for name in re.findall(r"{(\w+)}", line):
                if name not in found["words"] and name not in DRAWN:
                    raise ValueError(f"{path}: {line!r}: nothing is called {name!r}")
    return found


def filled(rng: random.Random, templates: dict[str, Any]) -> Iterator[str]:
    """Templates filled in, without end."""
    groups = list(templates["groups"].values())
    shares = [group["share"] for group in groups]
    while True:
        line = rng.choice(rng.choices(groups, shares)[0]["lines"])
        text = re.sub(r"{(\w+)}", lambda name: _drawn(name[1], rng, templates["words"]), line)
        yield text[0].upper() + text[1:]


def _drawn(name: str, rng: random.Random, words: dict[str, list[str]]) -> str:
    return DRAWN[name](rng) if name in DRAWN else rng.choice(words[name])


def _spoken(number: int, to: str = "cardinal") -> str:
    return num2words(number, to=to).replace(",", "")


def _digits(rng: random.Random, low: int = 2, high: int = 7) -> str:
    return " ".join(_spoken(rng.randrange(10)) for _ in range(rng.randint(low, high)))


def _big(rng: random.Random) -> str:
    rounded = 10 ** rng.choice([0, 0, 1, 2])
    return _spoken(rng.randint(1, 10 ** rng.choice([3, 3, 4, 5]) // rounded) * rounded)


def _phone(rng: random.Random) -> str:
    return ", ".join(_digits(rng, n, n) for n in rng.choice([(3, 4), (3, 3, 4), (2, 2, 2)]))


def _time(rng: random.Random) -> str:
    hour, minute = rng.randint(1, 12), rng.randrange(1, 60)
    spoken = _spoken(hour)
    past = f"oh {_spoken(minute)}" if minute < 10 else _spoken(minute)
    return rng.choice(
        [
            f"{spoken} o'clock",
            f"half past {spoken}",
            f"quarter {rng.choice(['past', 'to'])} {spoken}",
            f"{_spoken(rng.choice([5, 10, 20]))} {rng.choice(['past', 'to'])} {spoken}",
            f"{spoken} {past}",
            f"{spoken} {past}",
            f"{spoken} {past} {rng.choice(['A M', 'P M'])}",
            f"{spoken} {rng.choice(['A M', 'P M'])}",
            f"{spoken} {past} in the {rng.choice(['morning', 'afternoon', 'evening'])}",
        ]
    )


def _year(rng: random.Random) -> str:
    return _spoken(rng.choice([rng.randint(1100, 1999), rng.randint(2001, 2039)]), "year")


def _date(rng: random.Random) -> str:
    month = rng.choice(
        "January February March April May June July August September October November "
        "December".split()
    )
    day = _spoken(rng.randint(1, 31 if month != "February" else 28), "ordinal")
    return rng.choice([f"{month} {day}", f"the {day} of {month}", f"{month} {day}, {_year(rng)}"])


def _money(rng: random.Random) -> str:
    whole, cents = rng.choice([rng.randint(2, 20), rng.randint(2, 999)]), rng.randint(2, 99)
    unit, part = rng.choice([("dollars", "cents"), ("dollars", "cents"), ("euros", "cents")])
    return rng.choice(
        [
            f"{_spoken(whole)} {unit}",
            f"{_spoken(whole)} {unit} and {_spoken(cents)} {part}",
            f"{_spoken(cents)} {part}",
        ]
    )


DRAWN: dict[str, Draw] = {
    "digit": lambda rng: rng.choice([_spoken(n := rng.randint(1, 9)), _spoken(n), str(n)]),
    "digits": _digits,
    "phone": _phone,
    "small": lambda rng: _spoken(rng.randint(2, 20)),
    "number": lambda rng: _spoken(rng.choice([rng.randint(2, 20), rng.randint(20, 99)])),
    "figure": lambda rng: str(rng.randint(2, 99)),  # written as a figure: read alike by all
    "big": _big,
    "ordinal": lambda rng: _spoken(rng.randint(1, 99), "ordinal"),
    "hour": lambda rng: f"{_spoken(rng.randint(1, 12))} o'clock",
    "time": _time,
    "date": _date,
    "year": _year,
    "money": _money,
    "letter": lambda rng: rng.choice(LETTERS),
    "letters": lambda rng: " ".join(rng.choice(LETTERS) for _ in range(rng.randint(2, 6))),
}
