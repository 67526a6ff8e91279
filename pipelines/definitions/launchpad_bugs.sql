-- What a person did on Launchpad's bugs, as standardized events: bugs reported, changes made, messages written.
-- docs/launchpad-bugs.md has the mapping as a table.
SET pipeline.description = 'Launchpad bug work of one member, as standardized events';

DECLARE member          TEXT;                    -- Launchpad name, without the ~
DECLARE data_date_start DATE;                    -- first day
DECLARE data_date_end   DATE;                    -- the day after the last
DECLARE actors          TEXT DEFAULT 'member';   -- 'member', or 'everyone' who acted on the member's bugs
DECLARE destination     TEXT DEFAULT 'events/';  -- folder of the table

CREATE EXTERNAL TABLE crawl STORED AS LAUNCHPAD LOCATION 'bugs'
OPTIONS ('member' $member, 'since' $data_date_start, 'before' $data_date_end, 'actors' $actors);

-- One row per landed record, with the bug it belongs to. Links to the API are relative to its root, so that the table
-- does not depend on the host that it was read from.
CREATE VIEW entries AS
SELECT
  resource,
  unit                                      AS bug_id,
  key                                       AS event_id,
  position,
  occurred_at                               AS event_time_utc,
  actor,
  replace(record, api, '')                  AS record,
  replace(coalesce(parent, record), api, '') AS bug
FROM (SELECT *, split_part(root->>'self_link', '/~', 1) AS api FROM crawl);

CREATE VIEW items AS
SELECT
  *,
  link_name(coalesce(record->>'person_link', record->>'owner_link')) AS employee_id,
  CASE WHEN valid_zone(actor->>'time_zone') THEN actor->>'time_zone' ELSE 'UTC' END AS timezone,
  -- 'exampleproj: status' and 'status' are the same kind of change; the target stays in relation_properties.
  CASE
    WHEN strpos(record->>'whatchanged', ': ') > 0
      THEN split_part(record->>'whatchanged', ': ', -1)
    ELSE record->>'whatchanged'
  END AS changed
FROM entries;

CREATE VIEW events AS
SELECT
  'launchpad'                                                     AS source_kind_id,
  'b-' || bug_id                                                  AS parent_item_id,
  event_id,
  'bug_' || CASE resource WHEN 'bug' THEN 'created' ELSE resource END AS event_type,
  CASE
    WHEN resource = 'bug'                       THEN 'created'
    WHEN resource = 'message' AND position = 0  THEN 'described'
    WHEN resource = 'message'                   THEN 'commented'
    WHEN changed = 'bug'                        THEN 'added'
    WHEN changed LIKE 'added subscriber %'      THEN 'subscriber_added'
    WHEN changed LIKE 'removed subscriber %'    THEN 'subscriber_removed'
    WHEN changed IN ('status', 'importance', 'assignee', 'milestone', 'status explanation', 'importance explanation',
                     'remote watch', 'summary', 'description', 'tags', 'information type', 'visibility',
                     'security vulnerability', 'lock status', 'lock reason')
                                                THEN replace(changed, ' ', '_') || '_changed'
    ELSE replace(changed, ' ', '_')
  END                                                             AS relation_type,
  employee_id,
  event_time_utc,
  week_of(event_time_utc)                                         AS week,
  timezone,
  local_time(event_time_utc, timezone)                            AS event_time,
  json_pick(bug, 'title', 'name', 'web_link', 'information_type', 'private', 'security_related', 'tags', 'owner_link',
            'duplicate_of_link', 'date_created', 'tasks')         AS event_properties,
  CASE resource
    WHEN 'bug'      THEN json_pick(record, 'description')
    WHEN 'activity' THEN json_pick(record, 'whatchanged', 'oldvalue', 'newvalue', 'message', 'person_link')
    ELSE                 json_pick(record, 'self_link', 'owner_link', 'subject', 'content', 'parent_link',
                                   'date_last_edited', 'date_deleted')
  END                                                             AS relation_properties,
  json_pick(bug, 'heat', 'message_count', 'number_of_duplicates', 'users_affected_count',
            'users_affected_count_with_dupes', 'users_unaffected_count') AS metrics,
  CAST(date_part('year', event_time_utc) AS INT)                  AS year,
  CAST(date_part('month', event_time_utc) AS INT)                 AS month
FROM items;

ASSERT (SELECT count(*) FROM events WHERE employee_id IS NULL) = 0 AS 'every event has an actor';
ASSERT (SELECT count(*) FROM events WHERE relation_type IS NULL) = 0 AS 'every event has a kind';
ASSERT (SELECT count(*) FROM events
        WHERE event_time_utc < $data_date_start OR event_time_utc >= $data_date_end) = 0
    AS 'every event lies in the window';

COPY events TO $destination STORED AS PARQUET PARTITIONED BY (event_type, year, month)
OPTIONS (publish 'merge', key 'event_id', sort 'event_time_utc, event_id', compression 'zstd');
