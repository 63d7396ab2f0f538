"""Time zones of airports: the committed table is what airportsdata says."""

from pathlib import Path

import airportsdata

from paxtrail.core import airports

FILE = Path(airports.__file__)
WIDTH = 134


def rendered() -> str:
    """The table's text; `python tests/core/test_airports.py` writes it into the module."""
    zones: dict[str, list[str]] = {}
    for code, airport in airportsdata.load("IATA").items():
        if airport["tz"] and len(code) == 3:
            zones.setdefault(airport["tz"], []).append(code)
    # Backslashes at line ends join the lines, so the text has no blanks but those between zones.
    text = " ".join(f"{zone}={''.join(sorted(codes))}" for zone, codes in sorted(zones.items()))
    lines = [text[i : i + WIDTH] for i in range(0, len(text), WIDTH)]
    return "\\\n".join(lines)


def written() -> str:
    return FILE.read_text(encoding="utf-8").split('"""\\\n')[1].split('"""')[0].removesuffix("\\\n")


def test_the_committed_table_is_that_of_airportsdata() -> None:
    assert written() == rendered(), "run python tests/core/test_airports.py to write the table anew"


def test_an_airport_has_its_zone_and_an_unknown_one_none() -> None:
    assert airports.zone("EWR") == "America/New_York"
    assert airports.zone("DEL") == "Asia/Kolkata"
    assert airports.zone("ZZZ") is None


if __name__ == "__main__":
    before, _, rest = FILE.read_text(encoding="utf-8").partition('"""\\\n')
    _, quotes, after = rest.partition('"""')
    FILE.write_text(f'{before}"""\\\n{rendered()}\\\n{quotes}{after}', encoding="utf-8")
