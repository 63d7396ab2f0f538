-- The vault: the only place that links values to tokens and holds keys. Database of its own.

-- Token of every identifier ever seen. The vault is the only place that links values to tokens.
CREATE TABLE IF NOT EXISTS identifier (
    digest    bytea PRIMARY KEY,            -- HMAC-SHA-256(lookup secret, namespace \0 normalised value)
    namespace text  NOT NULL,
    token     text  NOT NULL UNIQUE,        -- UUIDv7, 32 hex digits: sorts by age
    sealed    bytea                         -- the value under the token's key, for re-hashing; null once shredded
);
ALTER TABLE identifier ADD COLUMN IF NOT EXISTS lookup integer NOT NULL DEFAULT 1;  -- generation of the look-up secret of digest
-- Key of every token that owns sealed values, wrapped by a key-encryption key.
CREATE TABLE IF NOT EXISTS subject_key (
    token      text PRIMARY KEY,
    wrapped    bytea,                       -- AES-256-GCM-wrapped 64-byte AES-SIV key; null = deleted for good
    generation integer NOT NULL
);
-- Generations of the keyring's secrets. The newest is in force: nothing is wrapped or indexed under an older one any more.
CREATE TABLE IF NOT EXISTS key_generation (
    kind       text NOT NULL,               -- wrapping: key-encryption key; lookup: secret of the digests in identifier
    generation integer NOT NULL,
    begun_at   timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,                 -- nothing needs it any more: it is destroyed
    PRIMARY KEY (kind, generation)
);
-- Keys that were deleted, in order: workers drop them from memory when they see the row.
CREATE TABLE IF NOT EXISTS key_deletion (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token      text NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT now()
);
-- Key of each day under which refused records are sealed; deleting it is their retention.
CREATE TABLE IF NOT EXISTS quarantine_key (
    day        text PRIMARY KEY,
    wrapped    bytea,                       -- null = deleted for good
    generation integer NOT NULL
);
-- The record of reads: decided truth, append-only. Each writer's records are a chain, whose head is kept outside this database.
CREATE TABLE IF NOT EXISTS reads (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL,
    subject   text NOT NULL,                -- who: issuer's subject of the caller
    client    text NOT NULL,
    role      text NOT NULL,
    purpose   text NOT NULL,
    route     text NOT NULL,
    customers text[] NOT NULL,              -- whom: customer ids (tokens)
    trace     text NOT NULL DEFAULT '',
    chain     text NOT NULL DEFAULT '',     -- of one writer; empty: recorded before there were chains
    seq       bigint NOT NULL DEFAULT 0,    -- place in the chain, from 1, without gaps
    mac       bytea NOT NULL DEFAULT ''     -- HMAC-SHA-256 of this record and the link before it (core/chains.py)
);
ALTER TABLE reads ADD COLUMN IF NOT EXISTS chain text NOT NULL DEFAULT '';
ALTER TABLE reads ADD COLUMN IF NOT EXISTS seq bigint NOT NULL DEFAULT 0;
ALTER TABLE reads ADD COLUMN IF NOT EXISTS mac bytea NOT NULL DEFAULT '';
CREATE UNIQUE INDEX IF NOT EXISTS reads_links ON reads (chain, seq) WHERE chain <> '';
CREATE INDEX IF NOT EXISTS reads_times ON reads (at);
-- Without a list of pending entries, whose clearing would make some writer wait.
CREATE INDEX IF NOT EXISTS reads_customers ON reads USING gin (customers) WITH (fastupdate = off);
-- The last link of each chain that retention deleted: the next one is checked against it.
CREATE TABLE IF NOT EXISTS read_checkpoints (
    chain text PRIMARY KEY,
    seq   bigint NOT NULL,
    mac   bytea NOT NULL,
    seal  bytea NOT NULL                    -- HMAC-SHA-256 of chain, seq and mac: nobody without the key can pretend that links expired
);
-- The register of releases to partners: decided truth, append-only.
CREATE TABLE IF NOT EXISTS releases (
    export      text PRIMARY KEY,             -- contract and run: the name of its folder
    contract    text NOT NULL,
    partner     text NOT NULL,
    cut_time    bigint NOT NULL,              -- µs UTC: what the release says is as of then
    rows        bigint NOT NULL,
    manifest    text NOT NULL,                -- SHA-256 of manifest.json, which has that of every other file
    prepared_by text NOT NULL,
    officer     text NOT NULL,                -- data protection officer who signed the contract
    released_at timestamptz NOT NULL DEFAULT now(),
    told        jsonb                         -- columns, levels, rows of the file with how many have them: later ones are compared with it
);
ALTER TABLE releases ADD COLUMN IF NOT EXISTS told jsonb;  -- null: released before releases were compared
-- Releases that a limit did not allow: nothing of them left.
CREATE TABLE IF NOT EXISTS refusals (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    export      text NOT NULL,
    contract    text NOT NULL,
    partner     text NOT NULL,
    cut_time    bigint NOT NULL,              -- µs UTC
    reason      text NOT NULL,
    refused_at  timestamptz NOT NULL DEFAULT now()
);
