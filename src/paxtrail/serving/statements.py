"""What the API asks of the serving store: each name a statement, each statement one snapshot."""

from __future__ import annotations

MAX_JOURNEYS = 50
"""Journeys in a 360 view: those not yet in the history, and the newest others up to this many."""

CUSTOMER = """
select l.token, l.customer_id, v.version, v.traceparent, d.document
from unnest($1::text[]) as k(token)
join links l on l.token = k.token
left join versions v on v.entity = 'customer' and v.key = k.token
left join documents d on d.entity = 'customer' and d.key = k.token and d.version = v.version and d.digest = $2
"""

CUSTOMER_ID = "select customer_id from links where token = $1"

CUSTOMERS = """
select k.key, v.version, d.document
from unnest($1::text[]) as k(key)
join versions v on v.entity = 'customer' and v.key = k.key
left join documents d on d.entity = 'customer' and d.key = k.key and d.version = v.version and d.digest = $2
"""

CUSTOMER_PARTS = """
with t as materialized (select token from links where customer_id = $1)
select 'version' as what, v.key, v.version, null::text[] as states, v.traceparent from versions v where v.entity = 'customer' and v.key = $1
union all
select 'profile', t.token, null, array(select s.state from states s where s.entity = 'profile' and s.key = t.token order by s.epoch), null
from t
union all
select 'history', t.token, null, array[s.state], null from t join states s on s.entity = 'history' and s.key = t.token and s.epoch = 0
union all
select distinct r.to_kind, r.to_key, null::bigint, null::text[], null
from t join relations r on r.from_kind = 'profile' and r.from_key = t.token and r.kind in ('travels', 'party_to')
"""

_STORED = """
select 'entity' as what, e.entity, e.key, v.version, d.document,
  case when d.document is null then
    array(select s.state from states s where s.entity = e.entity and s.key = e.key order by s.epoch)
  end as states, v.traceparent
from e
left join versions v on v.entity = e.entity and v.key = e.key
left join documents d on d.entity = e.entity and d.key = e.key and d.version = v.version and d.digest = ($2::jsonb ->> e.entity)
"""

ENTITY = f"with e as (select $1::text as entity, $3::text as key) {_STORED}"

ENTITIES = f"with e as materialized (select * from unnest($1::text[], $3::text[]) as k(entity, key)) {_STORED}"

_OWNERS = """
select k.key, v.version, d.document
from k
left join versions v on v.entity = 'customer' and v.key = k.key
left join documents d on d.entity = 'customer' and d.key = k.key and d.version = v.version and d.digest = $2
"""

JOURNEY_OWNERS = f"""
with k as materialized (
  select distinct l.customer_id as key from relations r join links l on l.token = r.from_key
  where r.to_kind = 'journey' and r.to_key = $1 and r.kind = 'travels' and r.from_kind = 'profile'
)
{_OWNERS}
"""

BAG_OWNERS = f"""
with k as materialized (
  select distinct l.customer_id as key
  from relations c
  join relations r on r.to_kind = 'journey' and r.to_key = c.from_key and r.kind = 'travels' and r.from_kind = 'profile'
  join links l on l.token = r.from_key
  where c.to_kind = 'bag' and c.to_key = $1 and c.kind = 'carries' and c.from_kind = 'journey'
)
{_OWNERS}
"""

_JOURNEY_PARTS = """
jr as materialized (
  select distinct j.key, r.to_kind, r.to_key
  from j join relations r on r.from_kind = 'journey' and r.from_key = j.key and r.kind in ('on', 'carries')
)
"""

VIEW = f"""
with t as materialized (select token from links where customer_id = $1),
mine as materialized (
  select distinct r.to_kind, r.to_key as key
  from t join relations r on r.from_kind = 'profile' and r.from_key = t.token and r.kind in ('travels', 'party_to')
),
dated as materialized (
  select m.key, s.state as outcome,
    (select max(split_part(r.to_key, '/', 2)) from relations r
     where r.from_kind = 'journey' and r.from_key = m.key and r.kind = 'on') as day
  from mine m left join states s on s.entity = 'outcome' and s.key = m.key and s.epoch = 0
  where m.to_kind = 'journey'
),
j as materialized (
  select key, outcome from (select *, row_number() over (order by day desc nulls first, key desc) as place from dated) ranked
  where place <= {MAX_JOURNEYS} or outcome is null
),
{_JOURNEY_PARTS},
e as materialized (
  select 'customer' as entity, $1::text as key
  union all select 'journey', key from j
  union all select distinct to_kind, to_key from jr
  union all select to_kind, key from mine where to_kind = 'order'
)
{_STORED}
union all select 'part', jr.to_kind, jr.key, null, jr.to_key, null, null from jr
union all select 'outcome', 'journey', j.key, null, j.outcome, null, null from j where j.outcome is not null
union all select 'count', 'journey', '', (select count(*) from dated), null, null, null
union all select 'history', 'profile', t.token, null, s.state, null, null
  from t join states s on s.entity = 'history' and s.key = t.token and s.epoch = 0
"""

NEWEST = """
with t as materialized (
  select l.token from links l where l.customer_id = (select customer_id from links where token = $1)
),
mine as materialized (
  select distinct r.to_kind, r.to_key
  from t join relations r on r.from_kind = 'profile' and r.from_key = t.token and r.kind in ('travels', 'party_to')
),
e as (
  select 'customer' as entity, (select customer_id from links where token = $1) as key
  union all select to_kind, to_key from mine
  union all
  select r.to_kind, r.to_key
  from mine m join relations r on r.from_kind = 'journey' and r.from_key = m.to_key and r.kind in ('on', 'carries')
  where m.to_kind = 'journey'
)
select max(v.version) as newest from e join versions v on v.entity = e.entity and v.key = e.key
"""

JOURNEY = f"""
with j as (select $1::text as key),
{_JOURNEY_PARTS},
e as materialized (
  select 'journey' as entity, $1::text as key
  union all select distinct to_kind, to_key from jr
)
{_STORED}
union all select 'part', jr.to_kind, jr.key, null, jr.to_key, null, null from jr
union all select 'outcome', 'journey', s.key, null, s.state, null, null
  from states s where s.entity = 'outcome' and s.key = $1 and s.epoch = 0
"""

FLIGHT_CUSTOMERS = """
select distinct l.customer_id, o.from_key as journey
from relations o
join relations r on r.to_kind = 'journey' and r.to_key = o.from_key and r.kind = 'travels' and r.from_kind = 'profile'
join links l on l.token = r.from_key
where o.to_kind = 'flight' and o.to_key = $1 and o.kind = 'on' and o.from_kind = 'journey' and (l.customer_id, o.from_key) > ($2, $3)
order by 1, 2 limit $4
"""

FOUND = """
select distinct l.customer_id from relations r join links l on l.token = r.to_key
where r.from_kind = 'identifier' and r.from_key = $1 and r.kind in ('identifies', 'finds') and r.to_kind = 'profile'
union
select customer_id from links where token = $1
limit $2
"""

FOUND_BY_JOURNEY = """
select distinct l.customer_id
from relations f
join relations r on r.to_kind = 'journey' and r.to_key = f.to_key and r.kind = 'travels' and r.from_kind = 'profile'
join links l on l.token = r.from_key
where f.from_kind = 'identifier' and f.from_key = $1 and f.kind = 'finds' and f.to_kind = 'journey'
limit $2
"""

FOUND_BY_BAG = """
select distinct l.customer_id
from relations c
join relations r on r.to_kind = 'journey' and r.to_key = c.from_key and r.kind = 'travels' and r.from_kind = 'profile'
join links l on l.token = r.from_key
where c.to_kind = 'bag' and c.to_key = $1 and c.kind = 'carries' and c.from_kind = 'journey'
  and ($3 = '' or exists (
    select from relations o
    where o.from_kind = 'journey' and o.from_key = c.from_key and o.kind = 'on' and split_part(o.to_key, '/', 2) = $3
  ))
limit $2
"""

TIMELINE = """
select distinct on (event_time, event_id) event_time, event_id, type, brief
from timeline
where entity = $1 and key = any($2::text[]) and (event_time, event_id) < ($3, $4)
order by event_time desc, event_id desc limit $5
"""

FOUND_MANY = """
with k as materialized (select distinct unnest($1::text[]) as token)
select k.token, l.customer_id from k join links l on l.token = k.token
union
select f.token, f.customer_id from k cross join lateral (
  select k.token, l.customer_id from relations r join links l on l.token = r.to_key
  where r.from_kind = 'identifier' and r.from_key = k.token and r.kind in ('identifies', 'finds') and r.to_kind = 'profile'
  limit 11
) f
"""

# Materialised, so that no planner walks the newest records until some are about this customer.
READS_OF = """
with found as materialized (
  select id, at, subject, client, role, purpose, route, customers, trace from reads where customers && $1::text[]
)
select * from found where (at, id) < ($2::timestamptz, $3::bigint) order by at desc, id desc limit $4
"""

VOLUMES = """
with seen as (
  select distinct r.subject, r.client, r.role, c.customer from reads r cross join lateral unnest(r.customers) as c(customer) where r.at > $1
)
select subject, client, role, count(*) as customers from seen group by 1, 2, 3 having count(*) > $2 order by 4 desc, 1, 2, 3
"""

TOKENS = "select token from links where customer_id = $1"

KEEP = """
insert into documents (entity, key, version, digest, document)
select *
from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[]) as d(entity, key, version, digest, document) order by 1, 2
on conflict (entity, key) do update set version = excluded.version, digest = excluded.digest, document = excluded.document
where documents.version < excluded.version or (documents.version = excluded.version and documents.digest <> excluded.digest)
"""

COMMITS = """
select c.lane, c.seq, c.committed_at, c.epoch, (select max(s.seq) from seqs s where s.lane = c.lane) as minted
from (select distinct lane from stream_commit where part = -1) l
cross join lateral (select * from stream_commit where lane = l.lane and part = -1 order by seq desc limit 1) c
"""

RECORDS = """
select source, sum(accepted)::bigint as accepted, sum(duplicates)::bigint as duplicate, sum(refused)::bigint as refused
from ledger group by source
"""

DELAYS = "select lane, le, records from stream_delays order by 1, 2"

WAITING = "select count(*) as rows from (select from outbox limit 100000) o"

PUBLISHED = """
select (select epoch from epochs where closed_by is null) as epoch,
  (select max(epoch) from publications) as published,
  (select finished_at from batch_runs r join cuts c using (run_id) where c.epoch = (select max(epoch) from publications)) as finished_at,
  (select coalesce(sum(drifted), 0) from publication_counts where epoch = (select max(epoch) from publications)) as drifted
"""
