//! A bug tracker that speaks as Launchpad does: collections, links, errors.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use crate::server::{Reply, Request};

/// An activity or a message: when, who, what.
pub(crate) type Entry = (&'static str, &'static str, &'static str);

/// A bug with what hangs on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bug {
    pub(crate) created: &'static str,
    pub(crate) updated: &'static str,
    pub(crate) owner: &'static str,
    pub(crate) tasks: usize,
    pub(crate) activity: Vec<Entry>,
    pub(crate) messages: Vec<Entry>,
}

impl Bug {
    /// A bug reported by Ada in January 2024, with its first message and one task.
    pub(crate) fn of_ada() -> Self {
        let created = "2024-01-10T08:00:00.000001+00:00";
        Self {
            created,
            updated: created,
            owner: "ada-example",
            tasks: 1,
            activity: Vec::new(),
            messages: vec![(created, "ada-example", "description")],
        }
    }
}

/// The tracker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tracker {
    pub(crate) bugs: BTreeMap<u64, Bug>,
    /// Tasks, by their number, that are counted but not shown.
    pub(crate) hidden: HashSet<String>,
    pub(crate) people: BTreeMap<&'static str, Value>,
}

const LARGEST_PAGE: usize = 300;

impl Tracker {
    pub(crate) fn new(bugs: impl IntoIterator<Item = (u64, Bug)>) -> Self {
        Self {
            bugs: bugs.into_iter().collect(),
            ..Self::default()
        }
    }

    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let root = request.address.origin().ascii_serialization();
        let Some(path) = request.path.strip_prefix("/devel/") else {
            return Reply::status(404, "Object: <WebServiceApplication>, name: 'x'");
        };
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            [person] if person.starts_with('~') => self.person(&root, &person[1..], request),
            ["bugs", id] => {
                self.with_bug(id, |number, bug| Reply::Json(bug_json(&root, number, bug)))
            }
            ["bugs", id, "bug_tasks"] => self.with_bug(id, |number, bug| {
                page(
                    request,
                    (0..bug.tasks)
                        .map(|task| task_json(&root, number, task))
                        .collect(),
                )
            }),
            ["bugs", id, "activity"] => self.with_bug(id, |number, bug| {
                let entries = bug.activity.iter();
                page(
                    request,
                    entries
                        .map(|entry| activity_json(&root, number, entry))
                        .collect(),
                )
            }),
            ["bugs", id, "messages"] => self.with_bug(id, |number, bug| {
                let entries = bug.messages.iter().enumerate();
                page(
                    request,
                    entries
                        .map(|(index, entry)| message_json(&root, number, index, entry))
                        .collect(),
                )
            }),
            _ => Reply::status(404, "Object: <WebServiceApplication>, name: 'x'"),
        }
    }

    fn with_bug(&self, id: &str, answer: impl FnOnce(u64, &Bug) -> Reply) -> Reply {
        match id
            .parse()
            .ok()
            .and_then(|number| Some((number, self.bugs.get(&number)?)))
        {
            Some((number, bug)) => answer(number, bug),
            None => Reply::status(404, &format!("Object: <MaloneApplication>, name: '{id}'")),
        }
    }

    fn person(&self, root: &str, name: &str, request: &Request) -> Reply {
        if name != name.to_lowercase() {
            let location = format!("{root}/devel/~{}", name.to_lowercase());
            return Reply::Full {
                status: 301,
                headers: vec![("location", location)],
                body: String::new(),
            };
        }
        match name {
            "nobody-example" => {
                return Reply::status(404, "Object: <PersonSet>, name: '~nobody-example'");
            }
            "gone-example" => return Reply::status(410, "User is suspended: ~gone-example"),
            _ => {}
        }
        if request.parameter("ws.op") == Some("searchTasks") {
            return self.search(root, request);
        }
        let link = format!("{root}/devel/~{name}");
        let mut person = json!({"self_link": link, "name": name, "display_name": format!("Display of {name}"), "time_zone": "Europe/Paris", "is_team": false, "irrelevant": 1});
        if let Some(more) = self.people.get(name).and_then(Value::as_object) {
            for (field, value) in more {
                person[field] = value.clone();
            }
        }
        Reply::Json(person)
    }

    fn search(&self, root: &str, request: &Request) -> Reply {
        let statuses = request
            .query
            .iter()
            .filter(|(name, _)| name == "status")
            .count();
        if statuses != 13 || request.parameter("omit_duplicates") != Some("false") {
            return Reply::status(400, "status: Required input is missing.");
        }
        // Strictly later, as the server compares.
        let since = request.parameter("modified_since").unwrap_or_default();
        let rows = self
            .bugs
            .iter()
            .filter(|(_, bug)| since.is_empty() || *bug.updated > *since);
        let rows = rows
            .flat_map(|(number, bug)| (0..bug.tasks).map(|task| task_json(root, *number, task)));
        self.page_without_hidden(request, rows.collect())
    }

    fn page_without_hidden(&self, request: &Request, rows: Vec<Value>) -> Reply {
        let mut reply = page(request, rows);
        if let Reply::Json(body) = &mut reply
            && let Some(entries) = body.get_mut("entries").and_then(Value::as_array_mut)
        {
            entries.retain(|row| {
                !self
                    .hidden
                    .contains(row["number"].as_str().unwrap_or_default())
            });
        }
        reply
    }
}

/// A page as Launchpad cuts it: `memo` wins over `ws.start`, 75 by default, 300 at most.
pub(crate) fn page(request: &Request, rows: Vec<Value>) -> Reply {
    let start = request
        .number("memo")
        .or(request.number("ws.start"))
        .unwrap_or(0);
    let size = request.number("ws.size").unwrap_or(75);
    if size > LARGEST_PAGE {
        return Reply::status(400, "Maximum for \"ws.size\" parameter is 300.");
    }
    if request.parameter("ws.show") == Some("total_size") {
        return Reply::Json(json!(rows.len()));
    }
    let total = rows.len();
    let entries: Vec<Value> = rows.into_iter().skip(start).take(size).collect();
    let mut body = json!({"start": start, "entries": entries});
    let link = |more: &[(&str, String)]| {
        let mut next = request.address.clone();
        let batch = ["memo", "ws.start", "ws.size"];
        let kept: Vec<_> = request
            .query
            .iter()
            .filter(|(name, _)| !batch.contains(&name.as_str()))
            .collect();
        let mut pairs = next.query_pairs_mut();
        pairs.clear().extend_pairs(kept).extend_pairs(more);
        drop(pairs);
        next.to_string()
    };
    if start + size < total {
        let end = (start + size).to_string();
        let next = [
            ("ws.size", size.to_string()),
            ("memo", end.clone()),
            ("ws.start", end),
        ];
        body["next_collection_link"] = json!(link(&next));
        body["total_size_link"] = json!(link(&[("ws.show", "total_size".to_owned())]));
    } else {
        body["total_size"] = json!(total);
    }
    Reply::Json(body)
}

fn task_json(root: &str, bug: u64, task: usize) -> Value {
    let number = format!("{bug}.{task}");
    json!({
        "self_link": format!("{root}/devel/target{task}/+bug/{bug}"),
        "bug_link": format!("{root}/devel/bugs/{bug}"),
        "web_link": format!("https://bugs.example.org/target{task}/{bug}"),
        "bug_target_name": format!("target{task}"), "status": "New", "importance": "High",
        "assignee_link": null, "is_complete": false, "number": number,
    })
}

fn bug_json(root: &str, number: u64, bug: &Bug) -> Value {
    let link = format!("{root}/devel/bugs/{number}");
    json!({
        "self_link": link, "web_link": format!("https://bugs.example.org/{number}"), "id": number,
        "title": format!("Bug {number}"), "date_created": bug.created, "date_last_updated": bug.updated,
        "owner_link": format!("{root}/devel/~{}", bug.owner), "heat": 6,
        "activity_collection_link": format!("{link}/activity"),
        "messages_collection_link": format!("{link}/messages"),
        "bug_tasks_collection_link": format!("{link}/bug_tasks"),
    })
}

fn activity_json(root: &str, number: u64, (when, who, what): &Entry) -> Value {
    json!({
        "self_link": format!("{root}/devel/bugs/{number}/activity"),
        "datechanged": when, "person_link": format!("{root}/devel/~{who}"),
        "whatchanged": what, "oldvalue": null, "newvalue": "x", "message": null,
    })
}

fn message_json(root: &str, number: u64, index: usize, (when, who, content): &Entry) -> Value {
    json!({
        "self_link": format!("{root}/devel/target0/+bug/{number}/comments/{index}"),
        "date_created": when, "owner_link": format!("{root}/devel/~{who}"), "content": content,
    })
}
