"""OpenTelemetry traces: off until `start`; then to a collector (OTLP/HTTP) or as JSON lines into a folder.

Spans are made by hand, because instrumentation would put addresses, and identifiers in them, into their names. An attribute is a count, a
name of ours or a status: never a value of a record or of a request.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

from paxtrail.core.cloudevents import traceparent
from paxtrail.errors import ConfigurationError
from paxtrail.settings import ROOT, Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Kind = Literal["internal", "server", "producer", "consumer"]
MAX_LINKS = 32
"""Links of one span: a micro-batch of thousands of records names some of their contexts, not each."""
_SECONDS = 5

_PROVIDER: TracerProvider | None = None
"""Of our own and not OpenTelemetry's global one, which libraries (MLflow) would send their spans to as well."""

_HELD = ExitStack()
"""What `stop` ends: the file after the provider that writes it."""


def start(settings: Settings, program: str) -> None:
    """Begins to trace in this process if the settings say where to; ends what was begun before. `program` is the service's name."""
    global _PROVIDER
    stop()
    told = settings.tracing
    if not (told.endpoint or told.folder):
        return
    if told.endpoint and told.folder:
        raise ConfigurationError("[tracing] has an endpoint and a folder: say one of them")
    # Only now: the SDK costs a third of a second that programs without tracing do not have.
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    exporter: SpanExporter
    if told.folder:
        place = Path(told.folder) if Path(told.folder).is_absolute() else ROOT / told.folder
        place.mkdir(parents=True, exist_ok=True)
        lines = _HELD.enter_context((place / f"{program}-{os.getpid()}.jsonl").open("a", buffering=1, encoding="utf-8"))
        exporter = ConsoleSpanExporter(out=lines, formatter=lambda span: span.to_json(indent=None) + "\n")
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=told.endpoint, timeout=_SECONDS)
    resource = Resource({"service.namespace": "paxtrail", "service.name": program, "deployment.environment.name": settings.env})
    _PROVIDER = TracerProvider(sampler=ParentBased(TraceIdRatioBased(told.sample)), resource=resource)
    _PROVIDER.add_span_processor(BatchSpanProcessor(exporter))
    _HELD.callback(_PROVIDER.shutdown)


def stop() -> None:
    """Sends what is left and ends tracing in this process."""
    global _PROVIDER
    _PROVIDER = None
    _HELD.close()


def on() -> bool:
    return _PROVIDER is not None


@contextmanager
def span(
    name: str, kind: Kind = "internal", /, *, parent: str | None = None, links: Iterable[str] = (), **attributes: str | int
) -> Iterator[Span]:
    """A span around the block, the current one within it; `parent` and `links` are traceparents. Off: nothing happens.

    An exception marks it by its type alone: its text may hold a value.
    """
    if _PROVIDER is None:
        yield INVALID_SPAN
        return
    above = trace.set_span_in_context(NonRecordingSpan(_read(parent))) if parent else None
    given = {f"paxtrail.{key}": value for key, value in attributes.items()}
    found = [Link(_read(one)) for one in links]
    made = _PROVIDER.get_tracer("paxtrail").start_span(name, above, SpanKind[kind.upper()], given, found[:MAX_LINKS])
    with trace.use_span(made, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield made
        except BaseException as error:
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(trace.StatusCode.ERROR)
            raise


def link(traceparents: Iterable[str]) -> None:
    """Links the current span to these contexts."""
    here = trace.get_current_span()
    for one in list(traceparents)[:MAX_LINKS]:
        here.add_link(_read(one))


def context(of: Span | None = None) -> str | None:
    """The traceparent (W3C Trace Context) of a span, by default the current one; None where there is none."""
    found = (of or trace.get_current_span()).get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}" if found.is_valid else None


def trace_id(context: str | None) -> str:
    """The 32 hex digits that name the trace of a traceparent, or nothing."""
    return context.split("-")[1] if context else ""


def _read(text: str) -> SpanContext:
    if traceparent(text) is None:
        return trace.INVALID_SPAN_CONTEXT
    _, trace_id, span_id, flags = text.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
