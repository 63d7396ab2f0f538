"""Figures of the API for Prometheus; no label ever holds an id, a token or a value of a request."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """One registry per application, so that two in one process (tests) do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "paxtrail_api_request_seconds",
            "Time to answer by route and status.",
            ("route", "status"),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.reads = Counter("paxtrail_api_reads_recorded", "Reads recorded in the vault.", registry=self.registry)
        self.read_commits = Counter("paxtrail_api_read_commits", "Group commits of the record of reads.", registry=self.registry)
        self.reads_spooled = Counter(
            "paxtrail_api_reads_spooled", "Reads recorded in the journal while the vault was away.", registry=self.registry
        )
        self.unusual = Gauge(
            "paxtrail_api_unusual_readers",
            "Callers who read more distinct customers in the window than their role's limit.",
            ("role", "client"),
            registry=self.registry,
        )
        self.unusual_checked = Gauge(
            "paxtrail_api_unusual_checked_timestamp_seconds", "When volumes of reads were last checked.", registry=self.registry
        )
        self.rendered = Counter(
            "paxtrail_api_documents_rendered", "Documents rendered because none was current.", ("entity",), registry=self.registry
        )
        self.collected = Counter(
            "paxtrail_api_collected_records",
            "Records sent to the collect API: accepted, or why not.",
            ("source", "outcome"),
            registry=self.registry,
        )
        self.freshness = Gauge("paxtrail_api_freshness_seconds", "Age of the last stream commit.", ("lane",), registry=self.registry)
        self.drift = Gauge("paxtrail_api_drifted_documents", "Drifted in the last publication: must be 0.", registry=self.registry)
        self._children: dict[tuple[str, int], Histogram] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        child = self._children.get((route, status))
        if child is None:
            child = self._children[route, status] = self.requests.labels(route, str(status))
        child.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
