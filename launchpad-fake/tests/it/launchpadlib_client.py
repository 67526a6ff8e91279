"""What an unmodified launchpadlib reads from a Launchpad service, as JSON on standard output."""

import json
import sys

from launchpadlib.launchpad import Launchpad
from lazr.restfulclient.errors import NotFound

root, cache, member, bug_id = sys.argv[1:5]
STATUSES = [
    "New", "Incomplete", "Opinion", "Invalid", "Won't Fix", "Expired", "Confirmed", "Triaged",
    "In Progress", "Deferred", "Fix Committed", "Fix Released", "Does Not Exist",
]

launchpad = Launchpad.login_anonymously("standin-test", service_root=root, launchpadlib_dir=cache, version="devel")
person = launchpad.people[member]
tasks = person.searchTasks(status=STATUSES, order_by="id", created_since="2000-01-01")
iterated = [task.self_link for task in tasks]
bug = next(iter(tasks)).bug
long_bug = launchpad.bugs[int(bug_id)]
activity = list(long_bug.activity)
messages = list(long_bug.messages)
member_by_email = launchpad.people.getByEmail(email=member + "@example.org")
team = launchpad.people["example-devs"]


def missing(collection, key):
    try:
        collection[key]
    except (KeyError, NotFound):
        return True
    return False


print(json.dumps({
    "time_zone": person.time_zone,
    "is_team": person.is_team,
    "iterated": len(iterated),
    "distinct": len(set(iterated)),
    "length": len(tasks),
    "sliced": len(tasks[70:90]),
    "bug_created_year": bug.date_created.year,
    "bug_owner": bug.owner.self_link,
    "bug_tasks": len(list(bug.bug_tasks)),
    "activity": len(activity),
    "first_activity": activity[0].message,
    "messages": len(messages),
    "message_length": len(long_bug.messages),
    "message_owner": messages[0].owner.self_link,
    "by_email": member_by_email.name,
    "members": len(list(team.members)),
    "membership": team.members_details[0].member.name,
    "project": launchpad.projects["exampleproj"].name,
    "project_tasks": len(list(launchpad.projects["exampleproj"].searchTasks(status="New"))),
    "unknown_person": missing(launchpad.people, "nobody"),
    "unknown_bug": missing(launchpad.bugs, 1),
}))
