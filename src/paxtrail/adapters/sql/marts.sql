-- What stands in this database beside the marts themselves, which a publication replaces whole: made by paxtrail marts build.
-- Which state of the lake each mart shows.
CREATE TABLE IF NOT EXISTS published_marts (
    mart          text        PRIMARY KEY,
    run_id        text        NOT NULL,               -- batch run it was made from
    epoch         bigint      NOT NULL,               -- epoch of that run's cut
    delta_version bigint      NOT NULL,               -- version of the Delta table gold.<mart>
    rows          bigint      NOT NULL,               -- rows in it
    published_at  timestamptz NOT NULL DEFAULT now()
);
