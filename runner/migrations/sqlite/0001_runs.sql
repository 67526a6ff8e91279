-- The run store: what each run did. Times are RFC 3339 in UTC with six decimals, always the same
-- width, so that text order is time order and a person with the sqlite3 shell can read them.
-- Applied files are never edited: a change is a new file.

CREATE TABLE runs (
    id                     TEXT    NOT NULL PRIMARY KEY,
    pipeline               TEXT    NOT NULL,
    definition_fingerprint TEXT    NOT NULL,
    parameters             TEXT    NOT NULL CHECK (json_valid(parameters)),
    identity               TEXT    NOT NULL,
    state                  TEXT    NOT NULL CHECK (state IN ('running', 'succeeded', 'partial', 'failed', 'cancelled', 'interrupted')),
    mode                   TEXT    NOT NULL CHECK (mode IN ('local', 'cluster')),
    decision               TEXT    CHECK (decision IS NULL OR json_valid(decision)),
    settings               TEXT    NOT NULL CHECK (json_valid(settings)),
    attempt                INTEGER NOT NULL CHECK (attempt >= 1),
    owner_host             TEXT    NOT NULL,
    owner_pid              INTEGER NOT NULL CHECK (owner_pid >= 0),
    owner_process          TEXT    NOT NULL,
    heartbeat_at           TEXT    NOT NULL,
    started_at             TEXT    NOT NULL,
    attempt_started_at     TEXT    NOT NULL,
    finished_at            TEXT,
    exit_code              INTEGER,
    error                  TEXT    CHECK (error IS NULL OR json_valid(error)),
    counts                 TEXT    NOT NULL CHECK (json_valid(counts)),
    bytes_read             INTEGER NOT NULL CHECK (bytes_read >= 0),
    bytes_written          INTEGER NOT NULL CHECK (bytes_written >= 0),
    peak_memory_bytes      INTEGER CHECK (peak_memory_bytes >= 0),
    work_dir               TEXT    NOT NULL,
    CHECK ((state = 'running') = (finished_at IS NULL))
) STRICT;

-- The database itself refuses a second running run of one pipeline, whatever the program does.
CREATE UNIQUE INDEX runs_one_running_per_pipeline ON runs (pipeline) WHERE state = 'running';
CREATE INDEX runs_by_start ON runs (started_at, id);
CREATE INDEX runs_by_pipeline ON runs (pipeline, started_at, id);
CREATE INDEX runs_by_identity ON runs (identity, attempt_started_at, id);

CREATE TABLE stages (
    run         TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt     INTEGER NOT NULL CHECK (attempt >= 1),
    name        TEXT    NOT NULL CHECK (name IN ('extract', 'plan', 'write', 'check', 'commit')),
    started_at  TEXT    NOT NULL,
    finished_at TEXT,
    rows        INTEGER NOT NULL DEFAULT 0 CHECK (rows >= 0),
    bytes       INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    detail      TEXT    NOT NULL DEFAULT 'null' CHECK (json_valid(detail)),
    PRIMARY KEY (run, attempt, name)
) STRICT;

-- The landing ledger. The sequence is dense from 0 within a run and a source.
CREATE TABLE chunks (
    run       TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    source    TEXT    NOT NULL,
    sequence  INTEGER NOT NULL CHECK (sequence >= 0),
    path      TEXT    NOT NULL,
    rows      INTEGER NOT NULL CHECK (rows >= 0),
    units     INTEGER NOT NULL CHECK (units >= 0),
    bytes     INTEGER NOT NULL CHECK (bytes >= 0),
    digest    TEXT    NOT NULL,
    cursor    TEXT,
    landed_at TEXT    NOT NULL,
    PRIMARY KEY (run, source, sequence)
) STRICT;

CREATE TRIGGER chunks_are_never_changed BEFORE UPDATE ON chunks
BEGIN
    SELECT RAISE(ABORT, 'a ledger entry is never changed');
END;

-- By the time a deleted run cascades to its chunks the run's own row is gone.
CREATE TRIGGER chunks_go_only_with_their_run BEFORE DELETE ON chunks
WHEN EXISTS (SELECT 1 FROM runs WHERE id = OLD.run)
BEGIN
    SELECT RAISE(ABORT, 'a ledger entry is removed only together with its run');
END;

CREATE TABLE memory_snapshots (
    id            INTEGER NOT NULL PRIMARY KEY,
    run           TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    at            TEXT    NOT NULL,
    label         TEXT    NOT NULL,
    rss_bytes     INTEGER NOT NULL CHECK (rss_bytes >= 0),
    virtual_bytes INTEGER NOT NULL CHECK (virtual_bytes >= 0),
    percent       REAL    NOT NULL,
    peak_bytes    INTEGER NOT NULL CHECK (peak_bytes >= 0),
    average_bytes INTEGER NOT NULL CHECK (average_bytes >= 0)
) STRICT;

CREATE INDEX memory_snapshots_by_run ON memory_snapshots (run, id);

CREATE TABLE quarantine (
    id       INTEGER NOT NULL PRIMARY KEY,
    run      TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    source   TEXT    NOT NULL,
    unit     TEXT,
    resource TEXT,
    url      TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    class    TEXT    NOT NULL,
    body     TEXT,
    at       TEXT    NOT NULL,
    UNIQUE (run, source, url, reason)
) STRICT;

CREATE INDEX quarantine_by_run ON quarantine (run, id);

CREATE TABLE outputs (
    run             TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name            TEXT    NOT NULL,
    location        TEXT    NOT NULL,
    mode            TEXT    NOT NULL,
    commit_number   INTEGER CHECK (commit_number >= 0),
    files           INTEGER NOT NULL CHECK (files >= 0),
    rows            INTEGER NOT NULL CHECK (rows >= 0),
    bytes           INTEGER NOT NULL CHECK (bytes >= 0),
    files_added     INTEGER NOT NULL CHECK (files_added >= 0),
    files_removed   INTEGER NOT NULL CHECK (files_removed >= 0),
    files_unchanged INTEGER NOT NULL CHECK (files_unchanged >= 0),
    PRIMARY KEY (run, name)
) STRICT;

CREATE TABLE warnings (
    id      INTEGER NOT NULL PRIMARY KEY,
    run     TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    at      TEXT    NOT NULL,
    message TEXT    NOT NULL
) STRICT;

CREATE INDEX warnings_by_run ON warnings (run, id);
