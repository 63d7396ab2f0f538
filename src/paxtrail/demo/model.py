"""The model in the demo: labelled texts laid ready for the schedule `models`, and what its run came to."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, NamedTuple

from paxtrail.adapters import drafts
from paxtrail.adapters.registry import CHAMPION, Version
from paxtrail.errors import PaxtrailError
from paxtrail.settings import Settings
from paxtrail.simulator import contacts


class Trained(NamedTuple):
    """A version that was trained and compared. `macro_f1`: on the texts held back; `lead`: over the champion, `lower`: its lower bound."""

    version: int
    texts: int
    macro_f1: float
    lead: float
    lower: float
    promoted: bool

    def summary(self) -> dict[str, Any]:
        return {"model_version": self.version, "model_macro_f1": round(self.macro_f1, 4), "model_promoted": self.promoted}

    def __str__(self) -> str:
        what = "promoted" if self.promoted else "not promoted: that takes a lower bound above 0"
        return (
            f"version {self.version} trained on {self.texts} texts of the simulator, macro-F1 {self.macro_f1:.3f} on those held back;"
            f" lead over the champion {self.lead:.3f}, lower bound {self.lower:.3f}: {what}"
        )


def lay(settings: Settings) -> int:
    """Texts whose tone is known are where the schedule `models` looks for them (dags/models.py); how many."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(("text", "label"))
    rows = [(said, tone) for tone, said in contacts.toned()]
    table.writerows(rows)
    place = settings.home / "training" / "sentiment.csv"
    place.parent.mkdir(exist_ok=True)
    drafts.replace(place, text.getvalue().encode())
    return len(rows)


def trained(versions: Iterable[Version], texts: int) -> Trained:
    """The newest version that was compared, of all that are registered; PaxtrailError if none was."""
    compared = [one for one in versions if "compared_with" in one.tags]
    if not compared:
        raise PaxtrailError("the run of `models` ended, but no version in the registry was compared with the champion")
    newest = max(compared, key=lambda one: one.version)
    promoted = CHAMPION in newest.aliases
    return Trained(
        newest.version, texts, newest.metrics["macro_f1"], float(newest.tags["difference"]), float(newest.tags["lower"]), promoted
    )
