"""Decisions in Spark are those of reads: every token of a customer is heard, sealed birth dates are opened where the caller can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from paxtrail.adapters import configuration
from paxtrail.core import folds
from paxtrail.settings import ROOT
from paxtrail.transforms import consent

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TABLE = configuration.attributes(ROOT / "conf")["profile"]
RULES = configuration.consent(ROOT / "conf")
AT = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z
SEALED = f"sealed:birth_date:{'a' * 32}:x"


def state(*acts: str, **account: Any) -> str:
    events = [folds.Event("a", "loyalty", "loyalty.account_updated", 1, 0, 1, account)] if account else []
    events += [folds.Event(f"c{n}", "loyalty", "loyalty.consent_changed", n + 2, 0, n + 2, {"act": act}) for n, act in enumerate(acts)]
    return orjson.dumps(folds.fold(TABLE, events)).decode()


def opened(sealed: str) -> str | None:
    return "1990-01-01" if sealed == SEALED else None


def test_each_customer_is_decided_by_all_its_tokens(spark: SparkSession) -> None:
    gives, refuses = "partner_sharing/any/given/subject", "partner_sharing/any/refused/subject"
    profiles = {
        "t1": ("willing", state(gives, residence="DE", birth_date=SEALED)),
        "t2": ("torn", state(gives, residence="DE")),
        "t3": ("torn", state(refuses)),
        "t4": ("silent", state(residence="DE")),
        "t5": ("californian", state(residence="US", subdivision="US-CA")),
        "t6": ("unreadable", state(gives, residence="DE", birth_date=SEALED[:-1] + "y")),
    }
    states = spark.createDataFrame(
        [("profile", token, text) for token, (_, text) in profiles.items()], "entity string, key string, state string"
    )
    links = spark.createDataFrame([(token, customer) for token, (customer, _) in profiles.items()], "token string, customer_id string")

    def found(**more: Any) -> dict[str, tuple[bool, str]]:
        rows = consent.decisions(states, links, RULES, TABLE, "partner_sharing", AT, **more).collect()
        return {row["customer_id"]: (row["allowed"], row["reason"]) for row in rows}

    assert found(opened=opened) == {
        "willing": (True, "given"),
        "torn": (False, "refused"),
        "silent": (False, "default:opt_in"),
        "californian": (True, "default:opt_out"),
        "unreadable": (False, "age_unknown"),
    }
    assert found()["willing"] == (False, "age_unknown")
