-- A request to stop a run, made by another process; the run's own process looks for it. A new attempt has none.
CREATE TABLE cancel_requests (
    run     TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL CHECK (attempt >= 1),
    at      TEXT    NOT NULL,
    PRIMARY KEY (run, attempt)
) STRICT;
