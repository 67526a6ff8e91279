"""The events of a member in a window, read as a script with launchpadlib does it: tasks, their bugs, activity, messages.

Prints a line with seconds and requests, then one event per line. The clock begins after the login, which reads the
description of the service (WADL) and its root.
"""

import json
import sys
import time
from datetime import datetime, timezone

import httplib2
from launchpadlib.launchpad import Launchpad

root, cache, member, first, last = sys.argv[1:6]
STATUSES = [
    "New", "Incomplete", "Opinion", "Invalid", "Won't Fix", "Expired", "Confirmed", "Triaged",
    "In Progress", "Deferred", "Fix Committed", "Fix Released", "Does Not Exist",
]
begin, end = (datetime.fromisoformat(day).replace(tzinfo=timezone.utc) for day in (first, last))

requests = 0
send = httplib2.Http._conn_request


def counted(*arguments, **keywords):
    global requests
    requests += 1
    return send(*arguments, **keywords)


httplib2.Http._conn_request = counted

launchpad = Launchpad.login_anonymously("spillway-benchmark", service_root=root, launchpadlib_dir=cache, version="devel")
requests = 0
started = time.monotonic()

person = launchpad.people[member]
tasks = person.searchTasks(status=STATUSES, modified_since=begin, omit_duplicates=False, order_by="id")
events = []


def add(bug, kind, at, actor, *content):
    if actor == person.self_link and begin <= at < end:
        events.append([str(bug.id), kind, at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f"), *content])


seen = set()
for task in tasks:
    if task.bug_link in seen:
        continue
    seen.add(task.bug_link)
    bug = task.bug
    add(bug, "bug_created", bug.date_created, bug.owner_link, bug.description)
    for entry in bug.activity:
        add(bug, "bug_activity", entry.datechanged, entry.person_link,
            entry.whatchanged, entry.oldvalue, entry.newvalue, entry.message)
    for message in bug.messages:
        add(bug, "bug_message", message.date_created, message.owner_link, message.subject, message.content)

print(json.dumps({"seconds": time.monotonic() - started, "requests": requests}))
for event in events:
    print(json.dumps(event))
