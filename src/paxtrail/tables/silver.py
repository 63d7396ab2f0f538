"""silver: deduplicated events, states up to a cut, links and outcomes; written by the batch jobs only."""

from __future__ import annotations

from paxtrail.tables.contracts import ENTITIES, IDENTIFIERS, Check, Column, Table
from paxtrail.tables.contracts import RELATIONS as RELATION_LIST

FOLDED = ("profile", "flight", "bag", "order", "journey")
KINDS = (*FOLDED, "outcome", "history")
SECOND = 1_000_000
EARLIEST, LATEST = 946_684_800 * SECOND, 4_133_980_800 * SECOND
"""2000 to 2100, µs UTC."""

EVENTS = Table(
    name="silver.events",
    about="Each event once (highest revision), payload as VARIANT; everything batch reads this, never bronze.",
    owner="spark_jobs/events.py",
    key=("event_id",),
    retention="conf/retention.toml: `days` of its source, or of a class it holds; folded into silver.frozen first",
    columns=(
        Column("event_id", "string", "see bronze.events", False),
        Column("revision", "int", "highest revision seen", False, low=0),
        Column("lane", "string", "lane it came by", False),
        Column("seq", "bigint", "micro-batch it came by", False, stats=True, low=0),
        Column("epoch", "bigint", "epoch whose cut took it in", False, stats=True, low=1),
        Column("source", "string", "source name", False),
        Column("type", "string", "event type", False),
        Column("controller", "string", "which airline of the group", False),
        Column("region", "string", "residency of the person", False),
        Column("event_time", "bigint", "µs UTC", False, stats=True, low=EARLIEST, high=LATEST),
        Column("source_sequence", "bigint", "the source's own order", False),
        Column("arrival_time", "bigint", "µs UTC", False, stats=True, low=EARLIEST, high=LATEST),
        Column("subject", "string", "token of the person; null = none"),
        Column("entities", ENTITIES, "what it changes", False),
        Column("identifiers", IDENTIFIERS, "tokens of the subject", False),
        Column("relations", RELATION_LIST, "relations it states", False),
        Column("payload", "variant", "facts, personal values sealed", False),
    ),
    checks=(
        Check("not_from_the_future", "at most ten minutes before it arrived", f"event_time <= arrival_time + {10 * 60 * SECOND}"),
        Check("subject_is_a_token", "a person is named by token only", "subject RLIKE '^[0-9a-f]{32}$'"),
    ),
)

CORRECTIONS = Table(
    name="silver.corrections",
    about="Entities whose speed state differs from the batch for a known reason: publication counts them as healed, not as drifted.",
    owner="spark_jobs/events.py",
    key=("entity", "key", "epoch"),
    retention="two years",
    columns=(
        Column("entity", "string", "kind of entity", False),
        Column("key", "string", "token, leg key or tag", False),
        Column("epoch", "bigint", "epoch of the cut that found it", False, stats=True),
    ),
)

FROZEN = Table(
    name="silver.frozen",
    about="What events that are past their time said: their states, edges, relations, persons; the base of full runs.",
    owner="spark_jobs/retention.py",
    key=("entity", "key"),
    retention="as long as the platform",
    columns=(
        Column("entity", "string", "kind of entity; edge, relation, person; expiry: which events these were", False, stats=True),
        Column("key", "string", "key of the entity, or of the row it stands for", False),
        Column("digest", "string", "digest of the entity's attribute table when it was frozen", False),
        Column("epoch", "bigint", "epoch of the last cut whose events were frozen into it", False, stats=True),
        Column("state", "string", "canonical JSON of the state, or the row as JSON", False),
    ),
)

EXPIRED = Table(
    name="silver.expired",
    about="Records of which an event is past its time and gone: a late repetition counts as one, and a revision comes too late.",
    owner="spark_jobs/retention.py",
    key=("record",),
    retention="as long as the platform",
    columns=(
        Column("record", "string", "first 32 hex digits of the event id", False),
        Column("epoch", "bigint", "epoch of the cut up to which its events were frozen", False, stats=True),
    ),
)

STATES = Table(
    name="silver.states",
    about="State of every entity up to the cut: the fold of its events under the attribute table.",
    owner="spark_jobs/states.py",
    key=("entity", "key"),
    retention="last two versions",
    columns=(
        Column("entity", "string", f"{', '.join(FOLDED)}; outcome and history (derived from them)", False, stats=True, allowed=KINDS),
        Column("key", "string", "token, leg key or tag", False),
        Column(
            "bucket", "int", "first 16 bits of md5(key): a publication range is a run of buckets", False, stats=True, low=0, high=65_535
        ),
        Column("digest", "string", "digest of the entity's attribute table", False),
        Column("epoch", "bigint", "epoch of the last cut that changed it", False, stats=True),
        Column("state", "string", "canonical JSON of the state (docs/dictionary.md)", False),
    ),
    checks=(
        Check(
            "persons_are_tokens", "a person is named by token only", "entity NOT IN ('profile', 'history') OR key RLIKE '^[0-9a-f]{32}$'"
        ),
        Check("state_is_an_object", "canonical JSON", "startswith(state, '{') AND endswith(state, '}')"),
        Check("no_address", "an e-mail address in the clear would have an @, which sealed text never has", "NOT contains(state, '@')"),
        Check("no_phone", "a phone number in the clear would begin a text with + and digits", """NOT state RLIKE '"\\\\+[0-9]{7}'"""),
    ),
)

DOCUMENTS = Table(
    name="silver.documents",
    about="Flights and bags as the API answers them, up to the cut: what SQL reads, so that no rule of theirs is written twice.",
    owner="paxtrail marts build",
    key=("entity", "key"),
    retention="as silver.states",
    columns=(
        Column("entity", "string", "flight or bag", False, stats=True),
        Column("key", "string", "leg key or tag", False),
        Column("epoch", "bigint", "epoch of the last cut that changed its state", False, stats=True),
        Column("document", "variant", "the document, personal values sealed", False),
    ),
)

WITHHELD = Table(
    name="silver.withheld",
    about="Customers whose data may not serve the purpose `analysis` at the cut, as core/consent.py decides: no mart knows them.",
    owner="paxtrail marts build",
    key=("customer_id",),
    retention="made anew with every build",
    columns=(
        Column("customer_id", "string", "customer, of silver.links", False),
        Column("epoch", "bigint", "epoch of the cut that was decided at", False),
    ),
)

EDGES = Table(
    name="silver.edges",
    about="Strong identifiers seen together on one person: the evidence for links.",
    owner="spark_jobs/links.py",
    key=("a", "b"),
    retention="as bronze.events",
    columns=(
        Column("a_namespace", "string", "namespace of a", False),
        Column("a", "string", "token, a < b", False),
        Column("b_namespace", "string", "namespace of b", False),
        Column("b", "string", "token", False),
        Column("epoch", "bigint", "epoch of the cut that found it", False, stats=True),
    ),
)

LINKS = Table(
    name="silver.links",
    about="Token to customer: connected parts of the accepted edges.",
    owner="spark_jobs/links.py",
    key=("token",),
    retention="last two versions",
    columns=(
        Column("token", "string", "token of a person", False),
        Column("customer_id", "string", "oldest token of the customer", False),
        Column("epoch", "bigint", "epoch of the cut that found it", False, stats=True),
    ),
)

RELATIONS = Table(
    name="silver.relations",
    about="Relations between customers' tokens, orders, journeys, flights and bags.",
    owner="spark_jobs/links.py",
    key=("from_kind", "from_key", "kind", "to_kind", "to_key"),
    retention="as bronze.events",
    columns=(
        Column("from_kind", "string", "kind of the origin", False),
        Column("from_key", "string", "key of the origin", False),
        Column("kind", "string", "name of the relation", False),
        Column("to_kind", "string", "kind of the target", False),
        Column("to_key", "string", "key of the target", False),
        Column("epoch", "bigint", "epoch of the cut that found it", False, stats=True),
    ),
)
