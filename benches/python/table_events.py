"""The events of a published table, one per line, in the form of launchpadlib_loop.py."""

import json
import sys

import duckdb

FIELDS = {
    "bug_created": ["description"],
    "bug_activity": ["whatchanged", "oldvalue", "newvalue", "message"],
    "bug_message": ["subject", "content"],
}
rows = duckdb.execute(
    """
    SELECT substr(parent_item_id, 3), event_type, strftime(event_time_utc AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%f'),
           relation_properties
    FROM read_parquet(?, hive_partitioning = true)
    """,
    [sys.argv[1] + "/**/*.parquet"],
).fetchall()
for bug, kind, at, properties in rows:
    content = json.loads(properties)
    print(json.dumps([bug, kind, at, *(content.get(field) for field in FIELDS[kind])]))
