-- The serving store. Written by the stream and by publication; read by the API.
CREATE SEQUENCE IF NOT EXISTS version_seq;  -- started at µs since 1970 by `paxtrail up`, so versions grow across rebuilds
-- States of entities: one of the batch layer, and one per speed epoch since the last publication; internal, merged when read.
CREATE TABLE IF NOT EXISTS states (
    entity text   NOT NULL,
    key    text   NOT NULL,
    epoch  bigint NOT NULL,                 -- 0 = batch, else the speed epoch it was folded in
    digest text   NOT NULL,
    state  text   NOT NULL,
    PRIMARY KEY (entity, key, epoch)
) PARTITION BY HASH (key);
-- Version of every flight, bag, order, journey and customer; a document is current if it has this version.
CREATE TABLE IF NOT EXISTS versions (
    entity  text   NOT NULL,                -- flight, bag, order, journey, customer
    key     text   NOT NULL,
    version bigint NOT NULL,
    traceparent text,                       -- W3C trace context of the newest record that made this version, if it had one
    PRIMARY KEY (entity, key)
) PARTITION BY HASH (key);
-- Rendered documents, kept by the first read after a change; safe to empty.
CREATE TABLE IF NOT EXISTS documents (
    entity   text   NOT NULL,
    key      text   NOT NULL,
    version  bigint NOT NULL,
    digest   text   NOT NULL,
    document text   NOT NULL,
    PRIMARY KEY (entity, key)
) PARTITION BY HASH (key);
-- Strong identifiers that one event gave to one person: the evidence for links. As for relations: what a cut covers and silver does
-- not have is removed by its publication.
CREATE TABLE IF NOT EXISTS edges (
    a_namespace text NOT NULL,
    a           text NOT NULL,
    b_namespace text NOT NULL,
    b           text NOT NULL,
    epoch       bigint NOT NULL,            -- newest epoch that said so: not older than that of any micro-batch that states it
    PRIMARY KEY (a, b)
);
CREATE INDEX IF NOT EXISTS edges_b ON edges (b);
-- Token to customer; the id of a customer is its oldest token.
CREATE TABLE IF NOT EXISTS links (
    token       text PRIMARY KEY,
    customer_id text NOT NULL
);
CREATE INDEX IF NOT EXISTS links_customer ON links (customer_id);
-- What belongs together: customers' tokens, orders, journeys, flights, bags, and what finds them.
CREATE TABLE IF NOT EXISTS relations (
    from_kind text NOT NULL,
    from_key  text NOT NULL,
    kind      text NOT NULL,
    to_kind   text NOT NULL,
    to_key    text NOT NULL,
    epoch     bigint NOT NULL,              -- as of edges
    PRIMARY KEY (from_kind, from_key, kind, to_kind, to_key)
);
CREATE INDEX IF NOT EXISTS relations_to ON relations (to_kind, to_key, kind);
-- One line per entity and event, without personal values.
CREATE TABLE IF NOT EXISTS timeline (
    entity     text   NOT NULL,
    key        text   NOT NULL,
    event_time bigint NOT NULL,
    event_id   text   NOT NULL,
    type       text   NOT NULL,
    brief      text   NOT NULL,             -- the payload's non-personal facts worth a line, JSON
    PRIMARY KEY (entity, key, event_time, event_id)
) PARTITION BY HASH (key);
-- Claims: the first position of every record id within the horizon; another position of the same id is a duplicate.
CREATE TABLE IF NOT EXISTS seen (
    record_id bytea   PRIMARY KEY,          -- 16 bytes: blake2b(source, CloudEvents source, id)
    topic     text    NOT NULL,
    partition integer NOT NULL,
    "offset"  bigint  NOT NULL,
    body      bytea   NOT NULL,             -- 8-byte digest of type and body
    arrival   bigint  NOT NULL
);
CREATE INDEX IF NOT EXISTS seen_arrival ON seen USING brin (arrival);
-- Numbers of micro-batches, minted once per (lane, checkpoint, batch), with the offsets they cover.
CREATE TABLE IF NOT EXISTS seqs (
    lane          text   NOT NULL,
    checkpoint_id text   NOT NULL,
    batch_id      bigint NOT NULL,
    seq           bigint NOT NULL,
    offsets       jsonb  NOT NULL,          -- {"topic": {"partition": [from, until]}}
    PRIMARY KEY (lane, checkpoint_id, batch_id),
    UNIQUE (lane, seq)
);
-- The last range of offsets that has a number, by topic and partition, whichever lane read it: the next stream starts at its end.
CREATE TABLE IF NOT EXISTS numbered (
    topic     text    NOT NULL,
    partition integer NOT NULL,
    since     bigint  NOT NULL,
    until     bigint  NOT NULL,             -- next offset to read
    lane      text    NOT NULL,
    PRIMARY KEY (topic, partition)
);
INSERT INTO numbered
SELECT t.key, p.key::integer, max((p.value ->> 0)::bigint), max((p.value ->> 1)::bigint), max(lane)
FROM seqs, jsonb_each(offsets) t, jsonb_each(t.value) p WHERE NOT EXISTS (SELECT FROM numbered) GROUP BY 1, 2;
-- Micro-batches that took effect; written last, so whatever is served is in bronze.
CREATE TABLE IF NOT EXISTS stream_commit (
    lane         text   NOT NULL,
    seq          bigint NOT NULL,
    part         integer NOT NULL DEFAULT -1,  -- -1 = the whole micro-batch; >= 0: one hash partition of a spread one
    epoch        bigint NOT NULL,
    offsets      jsonb  NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now(),
    events       bigint,                       -- of a whole one: its events in bronze
    PRIMARY KEY (lane, seq, part)
);
-- Epochs of the speed layer; the one that nothing closed is the current one.
CREATE TABLE IF NOT EXISTS epochs (
    epoch     bigint PRIMARY KEY,
    closed_by text,                         -- run id of the cut that closed it; null = current
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);
INSERT INTO epochs (epoch) VALUES (1) ON CONFLICT DO NOTHING;
-- What a batch run covers, decided when it closed its epoch.
CREATE TABLE IF NOT EXISTS cuts (
    run_id   text PRIMARY KEY,
    epoch    bigint NOT NULL UNIQUE,        -- the epoch it closed
    lanes    jsonb  NOT NULL,               -- {"lane": {"seq": largest committed seq, "version": Delta version of its bronze.events}}
    cut_time bigint NOT NULL,               -- µs UTC
    created_at timestamptz NOT NULL DEFAULT now()
);
-- Batch runs that have made their states.
CREATE TABLE IF NOT EXISTS batch_runs (
    run_id         text PRIMARY KEY REFERENCES cuts,
    mode           text NOT NULL,           -- full, incremental
    base_run       text,
    states_version bigint NOT NULL,         -- Delta version of silver.states
    digests        jsonb NOT NULL,          -- {"entity": digest}
    gate           text,                    -- green, red; null = not asked
    finished_at    timestamptz NOT NULL DEFAULT now()
);
-- Newest epoch published, by range of keys: a publication that is not newer is refused.
CREATE TABLE IF NOT EXISTS publications (
    range_id text   PRIMARY KEY,
    epoch    bigint NOT NULL                -- newest epoch published for that range
);
-- What a publication did: keys looked at, healed, redefined and drifted (which must be 0).
CREATE TABLE IF NOT EXISTS publication_counts (
    epoch     bigint NOT NULL,
    range_id  text   NOT NULL,
    entity    text   NOT NULL,
    published bigint NOT NULL,
    healed    bigint NOT NULL,
    redefined bigint NOT NULL,
    drifted   bigint NOT NULL,
    PRIMARY KEY (epoch, range_id, entity)
);
-- Messages to other systems, written with the change they tell of; the relay sends and deletes them.
CREATE TABLE IF NOT EXISTS outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic   text  NOT NULL,
    key     text  NOT NULL,
    payload text  NOT NULL,
    traceparent text                        -- that of the version it tells of
);
-- Records by source and hour of arrival: received = accepted + duplicates + refused.
CREATE TABLE IF NOT EXISTS ledger (
    source     text   NOT NULL,
    hour       bigint NOT NULL,             -- hour of arrival, epoch seconds
    received   bigint NOT NULL,
    accepted   bigint NOT NULL,
    duplicates bigint NOT NULL,             -- same id again; with other content too (a conflict, kept in bronze.rejects)
    refused    bigint NOT NULL,
    events     bigint NOT NULL,
    PRIMARY KEY (source, hour)
);
-- How long records waited from arrival to commit, cumulative: a micro-batch counts by its oldest record, so no record waited longer.
CREATE TABLE IF NOT EXISTS stream_delays (
    lane    text   NOT NULL,
    le      float8 NOT NULL,                -- seconds, at most; Infinity = all
    records bigint NOT NULL,
    PRIMARY KEY (lane, le)
);
-- What the streams remove from bronze between two micro-batches, as `paxtrail retention run` told them last.
CREATE TABLE IF NOT EXISTS bronze_retention (
    table_name text   NOT NULL,             -- bronze.events, bronze.rejects
    source     text   NOT NULL,             -- '' = every source
    class      text   NOT NULL,             -- only events with a sealed value of this class; '' = all
    before     bigint NOT NULL,             -- what arrived before, µs UTC
    epoch      bigint NOT NULL,             -- newest epoch whose events are folded in silver: what came later stays
    PRIMARY KEY (table_name, source, class)
);
-- Stores made before edges and relations had an epoch: the open one is right, because no cut before its own may judge them.
DO $$ DECLARE one text; BEGIN
    FOREACH one IN ARRAY ARRAY['edges', 'relations'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = one::regclass AND attname = 'epoch' AND NOT attisdropped) THEN
            -- A constant default is written nowhere but in the catalogue, however many rows there are.
            EXECUTE format('ALTER TABLE %I ADD COLUMN epoch bigint NOT NULL DEFAULT %s', one, (SELECT max(epoch) FROM epochs));
            EXECUTE format('ALTER TABLE %I ALTER COLUMN epoch DROP DEFAULT', one);
        END IF;
    END LOOP;
END $$;
CREATE INDEX IF NOT EXISTS edges_epoch ON edges USING brin (epoch);  -- BRIN: raising an epoch stays an update in place
CREATE INDEX IF NOT EXISTS relations_epoch ON relations USING brin (epoch);
-- Stores made before versions and outbox rows had a trace. Looked up first: ALTER would lock the table even where there is nothing to do.
DO $$ DECLARE one text; BEGIN
    FOREACH one IN ARRAY ARRAY['versions', 'outbox'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = one::regclass AND attname = 'traceparent' AND NOT attisdropped) THEN
            EXECUTE format('ALTER TABLE %I ADD COLUMN traceparent text', one);
        END IF;
    END LOOP;
END $$;
