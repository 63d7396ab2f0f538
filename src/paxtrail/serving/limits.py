"""How often one client may call one process of the API: a token bucket per client, and one per address for tokens that are refused."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable, Hashable

from paxtrail.errors import TooMany
from paxtrail.serving.access import Access, Principal, Rate

_MAX_CLIENTS = 50_000


class Limits:
    """Buckets by the rates of the access table, `factor` times as large. TooMany says after how many seconds the next call is admitted.

    A bucket is kept as the moment at which it will be full again (the generic cell rate algorithm of ITU-T I.371, as a virtual
    scheduling): one number per client, nothing to refill.
    """

    def __init__(self, access: Access, *, factor: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._factor = factor
        self._clock = clock
        self._full: dict[Hashable, float] = {}

    def call(self, principal: Principal) -> None:
        """One call of this client: the token's subject through the token's client."""
        self._take((principal.client, principal.subject), self._access.rate(principal))

    def refused(self, address: str) -> None:
        """One token from this address was refused."""
        self._take(_network(address), self._access.strangers)

    def stranger(self, address: str) -> None:
        """TooMany while so many tokens from this address were refused that no unknown one is verified."""
        self._check(_network(address), self._access.strangers, self._clock())

    def _take(self, key: Hashable, rate: Rate) -> None:
        now = self._clock()
        full = self._check(key, rate, now)
        self._keep(key, full + 1 / (rate.per_second * self._factor), now)

    def _check(self, key: Hashable, rate: Rate, now: float) -> float:
        """When the bucket is full again, were nothing taken; TooMany if there is no whole call in it."""
        full = max(self._full.get(key, now), now)
        # A call takes 1/rate seconds of filling, so a bucket of `burst` calls lacks one or more once it is (burst - 1)/rate from full.
        wait = full - now - (rate.burst * self._factor - 1) / (rate.per_second * self._factor)
        if wait > 1e-9:
            raise TooMany(max(1, math.ceil(wait)))
        return full

    def _keep(self, key: Hashable, full: float, now: float) -> None:
        if key not in self._full and len(self._full) >= _MAX_CLIENTS:
            self._full = {one: at for one, at in self._full.items() if at > now}
            while len(self._full) >= _MAX_CLIENTS:
                del self._full[next(iter(self._full))]
        self._full[key] = full


def _network(address: str) -> str:
    """What one caller has of addresses: an IPv4 address, or the /64 of an IPv6 address (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
