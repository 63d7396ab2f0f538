"""Names of records that come without an envelope: by their bytes and how often these came before, or by mapped members."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from paxtrail.core.cloudevents import STRUCTURED, is_structured
from paxtrail.errors import Refusal

ORIGIN = "paxtrail/loader"
"""CloudEvents source of files and plain HTTP bodies alike: the same bytes are the same record whichever way they come."""
JSON = "application/json"
KEY = re.compile(r"\$(?:\.[A-Za-z0-9_-]{1,64}){1,8}")
"""A member of a JSON object: `$.id`, `$.booking.locator`."""


class Namer:
    """CloudEvents headers for the records of one file or request, in their order."""

    def __init__(self, source: str, media: str, keys: Sequence[str] = ()) -> None:
        """`keys`: members (see KEY) whose values together name a record; without any, its bytes do."""
        self._source = source
        self._media = media
        self._keys = tuple(keys)
        self._seen: dict[bytes, int] = {}

    def headers(self, body: bytes) -> dict[str, str]:
        """Headers in the Kafka binding. A JSON body that is a CloudEvent in structured mode keeps its own envelope.

        Refusal `missing_key` if a key member is not there or is no text, number or truth value.
        """
        if self._media == JSON and b'"specversion"' in body and _is_cloud_event(body):
            return {"content-type": STRUCTURED}
        return {
            "ce_specversion": "1.0",
            "ce_id": self._mapped(body) if self._keys else self._counted(body),
            "ce_source": ORIGIN,
            "ce_type": f"paxtrail.{self._source}.received",
            "content-type": self._media,
        }

    def _counted(self, body: bytes) -> str:
        digest = hashlib.sha256(body)
        # Half of the digest tells records of one file apart well enough, and a long file has many.
        occurrence = self._seen.get(digest.digest()[:16], 0)
        self._seen[digest.digest()[:16]] = occurrence + 1
        return f"{digest.hexdigest()}-{occurrence}"

    def _mapped(self, body: bytes) -> str:
        # A digest, because a key may be personal and of any length. Its paths are part of it: other columns, other names.
        named = msgspec.json.encode([[path, _member(body, path)] for path in self._keys])
        return f"key-{hashlib.sha256(named).hexdigest()}"


def _member(body: bytes, path: str) -> str:
    """The value at `path`: a text as it reads, anything else as it is written (1 and 1.0 differ)."""
    raw = body
    try:
        for step in path.split(".")[1:]:
            raw = bytes(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[step])
        value = msgspec.json.decode(raw)
        if isinstance(value, str):
            value.encode()  # half a surrogate pair has no bytes
            return f"t{value}"
        if isinstance(value, bool | int | float):
            return f"n{raw.decode('ascii')}"
    except (msgspec.MsgspecError, KeyError, UnicodeError, RecursionError):
        pass
    raise Refusal("missing_key", "the member that names the record is missing, or no text, number or truth value", path)


def _is_cloud_event(body: bytes) -> bool:
    try:
        return is_structured(msgspec.json.decode(body))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
