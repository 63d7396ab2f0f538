"""Every error of Paxtrail.

PaxtrailError                 something is wrong that a person can act on; `code` is stable, the text says what to do
├── ConfigurationError        settings, schemas or attribute tables are wrong or missing
├── Refusal                   a record is refused at the door (goes to bronze.rejects; never stops a stream)
├── TableLocked               another process writes this Delta table
├── Unavailable               a part (vault, serving store, broker) does not answer: try again later
│   └── KeyringBehind         this process does not have a secret that the vault uses: it waits until it is given
├── KeyInUse                  a generation of the keyring cannot end yet (the text says what still needs it)
├── TimedOut                  a question asks for more than can be answered in its time
├── EpochRefused              a publication is not newer than what is served
├── GateRed                   a batch run failed its quality gate and is not published
├── ChecksFailed              what was made does not pass its own tests: nothing of it is published
├── NotFound                  no such customer, flight, bag, run …
├── Unauthenticated           a caller's token is missing or not accepted (code says why)
├── Forbidden                 this caller may not do this (code says why: scope, role, purpose …)
├── TooMany                   a client calls too often (says after how many seconds it may again)
└── BadRequest                a request is malformed or asks for too much (code says how)
"""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("paxtrail.program")


class PaxtrailError(Exception):
    """Base of the tree; `code` is a stable snake_case word for machines."""

    code = "error"


class ConfigurationError(PaxtrailError):
    code = "configuration"


class Refusal(PaxtrailError):
    """A record the door does not accept. `reason` never contains a personal value; `at` says where in the record."""

    def __init__(self, code: str, reason: str, at: str = "") -> None:
        super().__init__(f"{code}: {reason}" + (f" (at {at})" if at else ""))
        self.code = code
        self.reason = reason
        self.at = at


class TableLocked(PaxtrailError):
    code = "table_locked"


class Unavailable(PaxtrailError):
    code = "unavailable"


class KeyringBehind(Unavailable):
    """The text names generations, never a key."""


class KeyInUse(PaxtrailError):
    code = "key_in_use"


class TimedOut(PaxtrailError):
    code = "query_timeout"


class EpochRefused(PaxtrailError):
    code = "epoch_refused"


class GateRed(PaxtrailError):
    code = "gate_red"


class ChecksFailed(PaxtrailError):
    code = "checks_failed"


class NotFound(PaxtrailError):
    code = "not_found"


class Unauthenticated(PaxtrailError):
    """`code` is one of the API's table; the text never contains any part of the token."""

    def __init__(self, code: str = "token_refused") -> None:
        super().__init__(code)
        self.code = code


class Forbidden(PaxtrailError):
    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class TooMany(PaxtrailError):
    code = "too_many_calls"

    def __init__(self, after_s: int) -> None:
        super().__init__(f"wait {after_s} s")
        self.after_s = after_s


class BadRequest(PaxtrailError):
    """The text names members and limits, never values."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


def reported(work: Callable[[], int]) -> int:
    """The exit code of a program: what `work` returns, or 1 and one line that says what is wrong and what to do."""
    try:
        return work()
    except PaxtrailError as error:
        log.error("error: %s: %s", error.code, error)
        return 1
