"""bronze: the observed truth, append-only; a table per lane, written by that lane's stream only, and the union of them is bronze."""

from __future__ import annotations

from paxtrail.tables.contracts import ENTITIES, IDENTIFIERS, RELATIONS, Column, Table

EVENTS = Table(
    name="bronze.events",
    about="Every accepted event, once per record position; the master data set of the lambda.",
    owner="streaming/events.py",
    key=("event_id", "revision"),
    retention="conf/retention.toml: `bronze_days` of its source, or of a class it holds; once it is folded in silver",
    per_lane=True,
    columns=(
        Column("lane", "string", "set of sources with its own query", False),
        Column("seq", "bigint", "the lane's own number of the micro-batch", False, stats=True),
        Column("event_id", "string", "32 hex digits of blake2b(source, CloudEvents source, id) + 4 hex digits of the ordinal", False),
        Column("source", "string", "source name", False),
        Column("type", "string", "event type, <aggregate>.<past tense>", False),
        Column("controller", "string", "which airline of the group", False),
        Column("region", "string", "residency of the person; empty = unknown", False),
        Column("event_time", "bigint", "when it happened, µs UTC", False, stats=True),
        Column("source_sequence", "bigint", "the source's own order, 0 = none", False),
        Column("arrival_time", "bigint", "when the broker got it, µs UTC", False, stats=True),
        Column("subject", "string", "token of the person; null = none"),
        Column("entities", ENTITIES, "what it changes, profile of the subject included", False),
        Column("identifiers", IDENTIFIERS, "tokens of the subject, itself included", False),
        Column("relations", RELATIONS, "relations it states", False),
        Column("payload", "string", "facts as JSON text, personal values sealed", False),
        Column("native", "string", "this event's part of the record, sealed, lossless"),
        Column("revision", "int", "0, +1 for each reprocessing", False, stats=True),
        Column("decoder_version", "int", "version of the decoder module", False),
        Column("schema_version", "int", "version of the source's event schemas", False),
        Column("topic", "string", "position of the record", False),
        Column("partition", "int", "position of the record", False),
        Column("offset", "bigint", "position of the record", False),
        Column("traceparent", "string", "W3C trace context of the record"),
    ),
)

REVISIONS = Table(
    name="bronze.revisions",
    about="Events decoded again from their native parts: revision n+1, effective at the next cut; lane `revisions`, seq = Delta version.",
    owner="spark_jobs/reprocess.py",
    key=("event_id", "revision"),
    retention="as bronze.events",
    columns=EVENTS.columns,
)

REJECTS = Table(
    name="bronze.rejects",
    about="Every refused or conflicting record, sealed under the quarantine key of its day, replayable.",
    owner="streaming/events.py",
    key=("topic", "partition", "offset"),
    retention="conf/retention.toml: the day's quarantine key `rejects.key_days`, the row `rejects.row_days`",
    per_lane=True,
    columns=(
        Column("lane", "string", "set of sources with its own query", False),
        Column("seq", "bigint", "the lane's own number of the micro-batch", False, stats=True),
        Column("reject_id", "string", "hash of the position", False),
        Column("source", "string", "source name", False),
        Column("code", "string", "stable reason code; `conflict` = same id, other content", False),
        Column("reason", "string", "what is wrong, without personal values", False),
        Column("at", "string", "where in the record", False),
        Column("arrival_time", "bigint", "when the broker got it, µs UTC", False, stats=True),
        Column("day", "string", "day of arrival: names the quarantine key", False),
        Column("record", "binary", "headers and body as received, sealed", False),
        Column("topic", "string", "position", False),
        Column("partition", "int", "position", False),
        Column("offset", "bigint", "position", False),
    ),
)
