//! Which path is which entry or collection of the generated bugs.

use crate::answer::Answer;
use crate::entries::{self, Context, Entry, Viewer};
use crate::generator::Generator;
use crate::generator::bug::Bug;
use crate::generator::people::{self, PEOPLE, PersonId, Standing};
use crate::generator::targets::{self, TARGETS, TargetKind};
use crate::options::Faults;
use crate::paging::Batch;
use crate::parameters::Reader;
use crate::refusal::Refusal;
use crate::request::{Request, segments};
use crate::search::{Scope, Search};
use crate::search_cache::SearchCache;
use crate::stats::Counters;

/// The generated bugs and what answers are made with.
#[derive(Debug)]
pub(crate) struct Generated {
    /// The bugs.
    pub(crate) generator: Generator,
    /// The searches of late.
    pub(crate) cache: SearchCache,
}

/// One request to the generated bugs.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) generated: &'a Generated,
    pub(crate) request: &'a Request,
    pub(crate) viewer: Viewer,
    pub(crate) faults: &'a Faults,
    pub(crate) counters: &'a Counters,
}

impl<'a> Route<'a> {
    /// The answer.
    pub(crate) fn answer(self) -> Result<Answer, Refusal> {
        let operation = self.request.parameters.operation()?;
        match self.request.parts().as_slice() {
            ["bugs"] if operation == Some("searchTasks") => self.search(Scope::Everything),
            ["bugs"] => {
                no_operation(operation)?;
                let visible = self.generated.generator.visible();
                self.collection("bug", (visible.to) as usize, |position| {
                    let bug = self.generated.generator.bug_at(position as u32);
                    entries::bug::is_visible(&bug, self.viewer)
                        .then(|| entries::bug::entry(self.context(), &bug, None).json)
                })
            }
            ["bugs", id, rest @ ..] => self.bug(id, rest, operation),
            ["people"] => self.people(operation),
            ["people", "+me"] => self.me(),
            ["projects"] => self.targets("project", TargetKind::Project, operation),
            ["distributions"] => self.targets("distribution", TargetKind::Distribution, operation),
            [name, rest @ ..] if name.starts_with('~') => self.person(&name[1..], rest, operation),
            path => {
                if let Some(split) = path.iter().position(|part| *part == "+bug")
                    && let [_, id, rest @ ..] = &path[split..]
                {
                    return self.task(&path[..split], id, rest, operation);
                }
                let target = target(path)?;
                match operation {
                    Some("searchTasks") => self.search(Scope::Target(target)),
                    operation => {
                        no_operation(operation)?;
                        Ok(Answer::Entry(entries::target::entry(
                            self.context(),
                            target,
                        )))
                    }
                }
            }
        }
    }

    fn context(&self) -> Context<'a> {
        Context {
            links: &self.request.links,
            viewer: self.viewer,
            generator: &self.generated.generator,
        }
    }

    /// A plain collection: `write` gives the entry at a position, or none when it is hidden.
    fn collection(
        &self,
        entry_type: &str,
        total: usize,
        write: impl Fn(usize) -> Option<String>,
    ) -> Result<Answer, Refusal> {
        Answer::page(self.request, Some(entry_type), total, |range| {
            range.filter_map(write).collect()
        })
    }

    fn search(&self, scope: Scope) -> Result<Answer, Refusal> {
        let batch = Batch::read(&self.request.parameters)?;
        let resolve = |link: &str| self.resolve_person(link);
        let search = Search::read(&self.request.parameters, scope, &resolve)?;
        if self
            .faults
            .slow_query_page_over
            .is_some_and(|most| batch.size() > most as usize)
        {
            self.counters.fault("slow_query_page_over");
            return Err(Refusal::TimedOut);
        }
        let generator = &self.generated.generator;
        let found = self
            .generated
            .cache
            .get_or_run(self.request, generator.visible(), || search.run(generator));
        let answer = Answer::page(self.request, None, found.len(), |range| {
            found[range]
                .iter()
                .filter_map(|position| self.found(*position))
                .collect()
        })?;
        if !batch.total_only() && generator.page_served() {
            self.counters.fault("drifting");
        }
        Ok(answer)
    }

    /// The task at a position of the index, unless the viewer may not see it.
    fn found(&self, position: u32) -> Option<String> {
        let generator = &self.generated.generator;
        let row = generator.index().tasks.get(position as usize)?;
        let bug = generator.bug_at(row.bug);
        let task = bug.tasks.get(usize::from(row.position))?;
        entries::bug::is_visible(&bug, self.viewer)
            .then(|| entries::task::entry(self.context(), &bug, task).json)
    }

    /// A bug that the viewer may see.
    fn visible_bug(&self, id: &str) -> Result<Bug, Refusal> {
        id.parse()
            .ok()
            .and_then(|id| self.generated.generator.bug(id))
            .filter(|bug| entries::bug::is_visible(bug, self.viewer))
            .ok_or_else(|| Refusal::not_found("BugSet", id))
    }

    fn bug(&self, id: &str, rest: &[&str], operation: Option<&str>) -> Result<Answer, Refusal> {
        let bug = self.visible_bug(id)?;
        no_operation(operation)?;
        if self.faults.broken_bugs.contains(&bug.id) {
            self.counters.fault("broken_bugs");
            return Err(Refusal::Failure("IntegrityError"));
        }
        if self.faults.malformed_bugs.contains(&bug.id) {
            self.counters.fault("malformed_bugs");
            return Ok(Answer::Json(format!(
                "{{\"id\": {}, \"title\": \"no end",
                bug.id
            )));
        }
        match rest {
            [] => {
                let lacking = self.faults.missing_field_bugs.contains(&bug.id).then(|| {
                    self.counters.fault("missing_field_bugs");
                    "date_created"
                });
                Ok(Answer::Entry(entries::bug::entry(
                    self.context(),
                    &bug,
                    lacking,
                )))
            }
            ["bug_tasks"] => self.tasks(&bug, None),
            ["activity"] => self.collection("bug_activity", bug.activity.len(), |position| {
                let activity = bug.activity.get(position)?;
                Some(entries::activity::entry(self.context(), &bug, activity).json)
            }),
            ["messages"] => self.collection("message", bug.messages.len(), |position| {
                let message = bug.messages.get(position)?;
                entries::message::is_visible(message, self.viewer)
                    .then(|| entries::message::entry(self.context(), &bug, position, message).json)
            }),
            ["comments", number] => self.message(&bug, number),
            [other, ..] => Err(Refusal::not_found("Bug", *other)),
        }
    }

    /// The tasks of a bug, all or all but one.
    fn tasks(&self, bug: &Bug, without: Option<usize>) -> Result<Answer, Refusal> {
        let positions: Vec<usize> = (0..bug.tasks.len())
            .filter(|position| Some(*position) != without)
            .collect();
        self.collection("bug_task", positions.len(), |position| {
            let task = bug.tasks.get(*positions.get(position)?)?;
            Some(entries::task::entry(self.context(), bug, task).json)
        })
    }

    fn message(&self, bug: &Bug, number: &str) -> Result<Answer, Refusal> {
        let missing = || Refusal::not_found("BugTask", number);
        let position: usize = number.parse().map_err(|_| missing())?;
        let message = bug
            .messages
            .get(position)
            .filter(|message| entries::message::is_visible(message, self.viewer))
            .ok_or_else(missing)?;
        Ok(Answer::Entry(entries::message::entry(
            self.context(),
            bug,
            position,
            message,
        )))
    }

    fn task(
        &self,
        path: &[&str],
        id: &str,
        rest: &[&str],
        operation: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let target = target(path)?;
        let bug = self.visible_bug(id)?;
        no_operation(operation)?;
        let position = bug
            .tasks
            .iter()
            .position(|task| targets::get(task.target).path == target.path)
            .ok_or_else(|| Refusal::not_found("BugTaskSet", id))?;
        match rest {
            [] => Ok(Answer::Entry(entries::task::entry(
                self.context(),
                &bug,
                &bug.tasks[position],
            ))),
            ["related_tasks"] => self.tasks(&bug, Some(position)),
            ["comments", number] => self.message(&bug, number),
            [other, ..] => Err(Refusal::not_found("BugTask", *other)),
        }
    }

    fn targets(
        &self,
        entry_type: &str,
        kind: TargetKind,
        operation: Option<&str>,
    ) -> Result<Answer, Refusal> {
        no_operation(operation)?;
        let listed: Vec<_> = TARGETS
            .iter()
            .filter(|target| target.kind == kind)
            .collect();
        self.collection(entry_type, listed.len(), |position| {
            Some(entries::target::entry(self.context(), listed.get(position)?).json)
        })
    }

    fn me(&self) -> Result<Answer, Refusal> {
        match self.viewer {
            Viewer::Anonymous => Err(Refusal::Unauthorized(
                "You need to be logged in to view this URL.".to_owned(),
            )),
            Viewer::Known => Err(Refusal::Redirect {
                status: 303,
                location: self
                    .request
                    .links
                    .api(&format!("~{}", crate::SAMPLE_MEMBER)),
            }),
        }
    }

    /// The person of this name, if the viewer may know them and the account is in use.
    fn known_person(&self, name: &str) -> Result<PersonId, Refusal> {
        let id = people::by_name(name)
            .filter(|id| self.knows(*id))
            .ok_or_else(|| Refusal::not_found("PersonSet", format!("~{name}")))?;
        if people::get(id).standing == Standing::Suspended {
            return Err(Refusal::Suspended(name.to_owned()));
        }
        Ok(id)
    }

    fn knows(&self, id: PersonId) -> bool {
        people::get(id).standing != Standing::PrivateTeam || self.viewer == Viewer::Known
    }

    fn person(
        &self,
        name: &str,
        rest: &[&str],
        operation: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let lower = name.to_lowercase();
        let canonical = people::renamed(&lower).unwrap_or(&lower);
        if canonical != name {
            // Only a name that leads somewhere is redirected.
            self.known_person(canonical)?;
            let below = self
                .request
                .raw_path
                .split_once('/')
                .map(|(_, below)| format!("/{below}"));
            let query = self
                .request
                .raw_query
                .as_ref()
                .map(|query| format!("?{query}"));
            let path = format!(
                "~{canonical}{}{}",
                below.unwrap_or_default(),
                query.unwrap_or_default()
            );
            return Err(Refusal::Redirect {
                status: 301,
                location: self.request.links.api(&path),
            });
        }
        let id = self.known_person(name)?;
        if rest.is_empty() && operation == Some("searchTasks") {
            return self.search(Scope::Person(id));
        }
        no_operation(operation)?;
        let members = people::members(id);
        let member = |position: usize| members.get(position).copied();
        match rest {
            [] => Ok(Answer::Entry(entries::person::entry(self.context(), id))),
            ["members" | "participants"] => self.collection("person", members.len(), |position| {
                Some(entries::person::entry(self.context(), member(position)?).json)
            }),
            ["members_details"] => self.collection("team_membership", members.len(), |position| {
                Some(entries::person::membership(self.context(), id, member(position)?).json)
            }),
            ["+member", name] => {
                let member = people::by_name(name)
                    .filter(|member| members.contains(member))
                    .ok_or_else(|| Refusal::not_found("Team", *name))?;
                Ok(Answer::Entry(entries::person::membership(
                    self.context(),
                    id,
                    member,
                )))
            }
            [other, ..] => Err(Refusal::not_found("Person", *other)),
        }
    }

    fn people(&self, operation: Option<&str>) -> Result<Answer, Refusal> {
        let mut reader = Reader::new(&self.request.parameters);
        let everybody = || (0_u8..).take(PEOPLE.len()).filter(|id| self.knows(*id));
        let wanted = match operation {
            None => {
                let listed: Vec<PersonId> = everybody().collect();
                return self.list_people(&listed, Some("person"));
            }
            Some("getByEmail") => {
                let email = reader.required_text("email");
                reader.finish()?;
                return Ok(
                    match everybody()
                        .find(|id| email.as_ref() == Some(&entries::person::email(*id)))
                    {
                        Some(id) => Answer::Entry(entries::person::entry(self.context(), id)),
                        None => Answer::Json("null".to_owned()),
                    },
                );
            }
            Some("find") => None,
            Some("findPerson") => Some(false),
            Some("findTeam") => Some(true),
            Some(other) => return no_operation(Some(other)).map(|()| Answer::Json(String::new())),
        };
        let text = reader
            .required_text("text")
            .unwrap_or_default()
            .to_lowercase();
        let (after, before) = match wanted {
            Some(false) => (
                reader.moment("created_after"),
                reader.moment("created_before"),
            ),
            _ => (None, None),
        };
        reader.finish()?;
        let listed: Vec<PersonId> = everybody()
            .filter(|id| {
                let person = people::get(*id);
                let created = entries::person::created(*id);
                wanted.is_none_or(|team| person.is_team() == team)
                    && (person.name.contains(&text)
                        || person.display_name.to_lowercase().contains(&text))
                    && after.is_none_or(|after| created > after)
                    && before.is_none_or(|before| created < before)
            })
            .collect();
        self.list_people(&listed, None)
    }

    fn list_people(
        &self,
        listed: &[PersonId],
        entry_type: Option<&str>,
    ) -> Result<Answer, Refusal> {
        Answer::page(self.request, entry_type, listed.len(), |range| {
            listed[range]
                .iter()
                .map(|id| entries::person::entry(self.context(), *id))
                .map(|Entry { json, .. }| json)
                .collect()
        })
    }

    /// The person a parameter links to: absolute with this server's root, or relative to it.
    fn resolve_person(&self, link: &str) -> Result<PersonId, String> {
        let absolute = link
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(_, path)| path);
        let Some(path) = absolute.or_else(|| link.strip_prefix('/')) else {
            return Err(format!("\"{link}\" is not a valid URI."));
        };
        let parts = segments(path);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let name = match parts.as_slice() {
            [name] | ["beta" | "1.0" | "devel", name] => name.strip_prefix('~'),
            _ => None,
        };
        name.and_then(people::by_name)
            .filter(|id| self.knows(*id))
            .ok_or_else(|| format!("No such object \"{link}\"."))
    }
}

/// Refuses any operation: what was asked has none of that name.
fn no_operation(operation: Option<&str>) -> Result<(), Refusal> {
    match operation {
        None => Ok(()),
        Some(name) => Err(Refusal::BadRequest(format!("No such operation: {name}"))),
    }
}

fn target(path: &[&str]) -> Result<&'static targets::Target, Refusal> {
    let path = path.join("/");
    targets::by_path(&path).ok_or_else(|| Refusal::not_found("WebServiceApplication", path))
}
