"""Figures of the API for Prometheus; no label ever holds an id, a token or a value of a request."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Where the processes of one API keep their figures, if there are several; prometheus_client reads it when it is imported."""


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
            multiprocess_mode="mostrecent",  # each worker looks, and finds the same
        )
        self.unusual_checked = Gauge(
            "paxtrail_api_unusual_checked_timestamp_seconds",
            "When volumes of reads were last checked.",
            registry=self.registry,
            multiprocess_mode="mostrecent",
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
        self._told: list[Collector] = []
        self._children: dict[tuple[str, int], Histogram] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        child = self._children.get((route, status))
        if child is None:
            child = self._children[route, status] = self.requests.labels(route, str(status))
        child.observe(seconds)

    def tell(self, collector: Collector) -> None:
        """Adds figures that are read elsewhere, the same in every process of the API."""
        self._told.append(collector)

    def text(self) -> bytes:
        """What a scrape gets. With several processes their figures are added up, whichever of them is asked (`api/main.py`)."""
        registry = CollectorRegistry()
        if _SHARED in os.environ:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it registers itself
        else:
            registry.register(self.registry)
        for collector in self._told:
            registry.register(collector)
        return generate_latest(registry)
