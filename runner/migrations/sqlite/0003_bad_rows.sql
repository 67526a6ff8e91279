-- Bad rows of files in quarantine: where each is, and its bytes. Two of them may be on one line.
CREATE TABLE quarantine_with_rows (
    id          INTEGER NOT NULL PRIMARY KEY,
    run         TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    source      TEXT    NOT NULL,
    unit        TEXT,
    resource    TEXT,
    url         TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    class       TEXT    NOT NULL,
    body        TEXT,
    at          TEXT    NOT NULL,
    line        INTEGER CHECK (line >= 0),
    byte_offset INTEGER CHECK (byte_offset >= 0),
    byte_length INTEGER CHECK (byte_length >= 0),
    column_name TEXT,
    body_hex    TEXT
) STRICT;

INSERT INTO quarantine_with_rows (id, run, source, unit, resource, url, reason, class, body, at)
SELECT id, run, source, unit, resource, url, reason, class, body, at FROM quarantine;

DROP TABLE quarantine;

ALTER TABLE quarantine_with_rows RENAME TO quarantine;

CREATE INDEX quarantine_by_run ON quarantine (run, id);

CREATE UNIQUE INDEX quarantine_once ON quarantine (run, source, url, reason, coalesce(byte_offset, -1));
