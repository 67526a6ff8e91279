//! `searchTasks`: which tasks a search finds, and in which order.

use std::cmp::Ordering;

use crate::generator::Generator;
use crate::generator::index::{BugRow, TaskRow};
use crate::generator::people::{self, PersonId, bit};
use crate::generator::targets::{self, Target};
use crate::generator::text;
use crate::generator::vocabulary::{
    IMPORTANCES, INFORMATION_TYPES, STATUSES, TAGS, importance_rank, is_closed,
};
use crate::parameters::{Parameters, Reader};
use crate::refusal::Refusal;

/// Where a search is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope {
    /// In all bugs.
    Everything,
    /// In the bugs of a target.
    Target(&'static Target),
    /// In the bugs related to a person.
    Person(PersonId),
}

/// Resolves a person's link as the parameter of a search sends it. The link names this server.
pub(crate) type ResolvePerson<'a> = &'a dyn Fn(&str) -> Result<PersonId, String>;

/// Search-only statuses, after those a task can have.
const WITH_RESPONSE: usize = STATUSES.len();
const INCOMPLETE_POSITION: usize = 1;
const UNKNOWN_POSITION: usize = STATUSES.len() - 1;

/// Parameters of the real search that filter by things generated bugs do not have.
const NOT_IMITATED: [&str; 8] = [
    "status_upstream",
    "milestone",
    "component",
    "nominated_for",
    "has_no_package",
    "has_cve",
    "linked_branches",
    "linked_blueprints",
];

/// What a person can be to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Assignee,
    Commenter,
    Subscriber,
    Owner,
    StructuralSubscriber,
}

/// The parameters of the roles that relate a person to a task in a person's search.
const ROLES: [(&str, Role); 5] = [
    ("assignee", Role::Assignee),
    ("bug_commenter", Role::Commenter),
    ("bug_subscriber", Role::Subscriber),
    ("owner", Role::Owner),
    ("structural_subscriber", Role::StructuralSubscriber),
];

/// A key to order by, and whether it is reversed.
#[derive(Debug, Clone, Copy)]
struct Order {
    key: OrderKey,
    reversed: bool,
}

#[derive(Debug, Clone, Copy)]
enum OrderKey {
    Bug,
    Created,
    LastUpdated,
    Importance,
    Status,
    Target,
    Assignee,
    Reporter,
    MessageCount,
}

/// A search, decoded.
#[derive(Debug)]
pub(crate) struct Search {
    scope: Scope,
    statuses: Vec<usize>,
    importances: Option<Vec<usize>>,
    information_types: Option<Vec<usize>>,
    created_since: Option<i64>,
    created_before: Option<i64>,
    modified_since: Option<i64>,
    people: Vec<(Role, PersonId)>,
    /// In a person's search: the roles of which any relates a task to them.
    related_by: Vec<Role>,
    reporter: Option<PersonId>,
    supervisor: Option<PersonId>,
    affected: Option<PersonId>,
    tags: Option<TagFilter>,
    text: Option<String>,
    has_patch: bool,
    omit_duplicates: bool,
    order: Vec<Order>,
}

impl Search {
    /// Decodes a search. Parameters that are not a search's are ignored.
    pub(crate) fn read(
        parameters: &Parameters,
        scope: Scope,
        resolve: ResolvePerson<'_>,
    ) -> Result<Self, Refusal> {
        let mut reader = Reader::new(parameters);
        let mut searchable: Vec<&str> = STATUSES.to_vec();
        searchable.extend([
            "Incomplete (with response)",
            "Incomplete (without response)",
        ]);
        let statuses = reader.choices("status", &searchable);
        if statuses
            .as_ref()
            .is_some_and(|chosen| chosen.contains(&UNKNOWN_POSITION))
        {
            reader.problem(
                "status",
                "Invalid value \"Unknown\". It cannot be searched for.",
            );
        }
        let importances = reader.choices("importance", &IMPORTANCES);
        let information_types = reader.choices("information_type", &INFORMATION_TYPES);
        let created_since = reader.moment("created_since");
        let created_before = reader.moment("created_before");
        let modified_since = reader.moment("modified_since");
        let mut people = Vec::new();
        for (name, role) in ROLES {
            if let Some(id) = person(&mut reader, name, resolve) {
                people.push((role, id));
            }
        }
        let reporter = person(&mut reader, "bug_reporter", resolve);
        let supervisor = person(&mut reader, "bug_supervisor", resolve);
        let affected = person(&mut reader, "affected_user", resolve);
        let all = reader.choices("tags_combinator", &["Any", "All"]);
        let tags = reader
            .texts("tags")
            .map(|tags| TagFilter::new(&tags, all.is_some_and(|chosen| chosen.contains(&1))));
        let text = reader.text("search_text").map(|text| text.to_lowercase());
        let has_patch = reader.flag("has_patch").unwrap_or(false);
        let omit_duplicates = reader.flag("omit_duplicates").unwrap_or(true);
        reader.flag("omit_targeted");
        let order = reader.texts("order_by");
        reader.finish()?;
        if let Some((name, _)) = parameters
            .pairs()
            .iter()
            .find(|(name, _)| NOT_IMITATED.contains(&name.as_str()))
        {
            return Err(Refusal::NotImitated(format!(
                "the stand-in does not search by {name}"
            )));
        }
        let related_by = match scope {
            Scope::Person(id) => related_by(id, &mut people)?,
            Scope::Everything | Scope::Target(_) => Vec::new(),
        };
        Ok(Self {
            scope,
            statuses: statuses.unwrap_or_else(unresolved),
            importances,
            information_types,
            created_since,
            created_before,
            modified_since,
            people,
            related_by,
            reporter,
            supervisor,
            affected,
            tags,
            text,
            has_patch,
            omit_duplicates,
            order: read_order(order)?,
        })
    }

    /// The positions, in the index, of the tasks found, in order.
    pub(crate) fn run(&self, generator: &Generator) -> Vec<u32> {
        let index = generator.index();
        let visible = generator.visible();
        let mut found: Vec<u32> = Vec::new();
        for (position, task) in index.tasks.iter().enumerate() {
            if task.bug < visible.from || task.bug >= visible.to {
                continue;
            }
            let bug = &index.bugs[task.bug as usize];
            if self.finds(generator.seed(), bug, task) {
                // A server has far fewer tasks than 2^32.
                found.push(position as u32);
            }
        }
        // Tasks that compare equal stay in the order of their bugs: the sort is stable.
        found.sort_by(|one, other| {
            let one = &index.tasks[*one as usize];
            let other = &index.tasks[*other as usize];
            let bugs = (
                &index.bugs[one.bug as usize],
                &index.bugs[other.bug as usize],
            );
            self.compare((bugs.0, one), (bugs.1, other))
        });
        found
    }

    fn finds(&self, seed: u64, bug: &BugRow, task: &TaskRow) -> bool {
        let in_list = |list: &Option<Vec<usize>>, value: u8| {
            list.as_ref()
                .is_none_or(|list| list.contains(&usize::from(value)))
        };
        self.in_scope(bug, task)
            && self.has_status(bug, task)
            && in_list(&self.importances, task.importance)
            && in_list(&self.information_types, bug.information_type)
            && self.created_since.is_none_or(|since| task.created > since)
            && self
                .created_before
                .is_none_or(|before| task.created < before)
            && self
                .modified_since
                .is_none_or(|since| bug.last_updated > since)
            && self
                .people
                .iter()
                .all(|(role, id)| plays(*role, *id, bug, task))
            && self.reporter.is_none_or(|id| bug.owner == id)
            && self
                .supervisor
                .is_none_or(|id| id == Target::bug_supervisor())
            && self.affected.is_none_or(|id| bug.affected & bit(id) != 0)
            && self.tags.as_ref().is_none_or(|tags| tags.accepts(bug.tags))
            && (bug.patched || !self.has_patch)
            && !(self.omit_duplicates && bug.duplicate)
            && self.text.as_ref().is_none_or(|wanted| {
                text::title(seed, bug.id, u32::from(bug.title_revision))
                    .to_lowercase()
                    .contains(wanted)
            })
    }

    fn in_scope(&self, bug: &BugRow, task: &TaskRow) -> bool {
        match self.scope {
            Scope::Everything => true,
            Scope::Target(target) => target.covers(targets::get(task.target)),
            Scope::Person(id) => self.related_by.iter().any(|role| match role {
                // A bug's reporter is related to all its tasks.
                Role::Owner => bug.owner == id || task.owner == id,
                role => plays(*role, id, bug, task),
            }),
        }
    }

    fn has_status(&self, bug: &BugRow, task: &TaskRow) -> bool {
        let status = usize::from(task.status);
        self.statuses.iter().any(|wanted| match *wanted {
            // Somebody answered: there is a message besides the description.
            WITH_RESPONSE => status == INCOMPLETE_POSITION && bug.messages > 1,
            wanted if wanted > WITH_RESPONSE => status == INCOMPLETE_POSITION && bug.messages <= 1,
            wanted => wanted == status,
        })
    }

    fn compare(&self, one: (&BugRow, &TaskRow), other: (&BugRow, &TaskRow)) -> Ordering {
        let assignee = |task: &TaskRow| task.assignee.map(|id| people::get(id).name);
        for order in &self.order {
            let ordering = match order.key {
                OrderKey::Bug => one.0.id.cmp(&other.0.id),
                OrderKey::Created => one.1.created.cmp(&other.1.created),
                OrderKey::LastUpdated => one.0.last_updated.cmp(&other.0.last_updated),
                OrderKey::Importance => {
                    importance_rank(one.1.importance).cmp(&importance_rank(other.1.importance))
                }
                OrderKey::Status => one.1.status.cmp(&other.1.status),
                OrderKey::Target => targets::get(one.1.target)
                    .bug_target_name
                    .cmp(targets::get(other.1.target).bug_target_name),
                OrderKey::Assignee => assignee(one.1).cmp(&assignee(other.1)),
                OrderKey::Reporter => people::get(one.0.owner)
                    .name
                    .cmp(people::get(other.0.owner).name),
                OrderKey::MessageCount => one.0.messages.cmp(&other.0.messages),
            };
            let ordering = if order.reversed {
                ordering.reverse()
            } else {
                ordering
            };
            if ordering != Ordering::Equal {
                return ordering;
            }
        }
        Ordering::Equal
    }
}

/// The statuses of a search that names none: those that need work.
fn unresolved() -> Vec<usize> {
    (0..UNKNOWN_POSITION)
        .filter(|status| u8::try_from(*status).is_ok_and(|status| !is_closed(status)))
        .collect()
}

fn plays(role: Role, id: PersonId, bug: &BugRow, task: &TaskRow) -> bool {
    match role {
        Role::Assignee => task.assignee == Some(id),
        Role::Commenter => bug.commenters & bit(id) != 0,
        Role::Subscriber => bug.subscribers & bit(id) != 0,
        Role::Owner => task.owner == id,
        Role::StructuralSubscriber => targets::get(task.target).structural_subscriber() == Some(id),
    }
}

/// The roles that relate tasks to the person whose search it is, and takes their parameters out of
/// `people`. A parameter that names the person leaves that role only; one that names somebody else
/// stays a filter and takes the role away.
fn related_by(id: PersonId, people: &mut Vec<(Role, PersonId)>) -> Result<Vec<Role>, Refusal> {
    let named: Vec<Role> = people
        .iter()
        .filter(|(_, other)| *other == id)
        .map(|(role, _)| *role)
        .collect();
    if !named.is_empty() {
        people.retain(|(_, other)| *other != id);
        return Ok(named);
    }
    let left: Vec<Role> = ROLES
        .iter()
        .map(|(_, role)| *role)
        .filter(|role| people.iter().all(|(taken, _)| taken != role))
        .collect();
    if left.is_empty() {
        let names: Vec<&str> = ROLES.iter().map(|(name, _)| *name).collect();
        return Err(Refusal::BadRequest(format!(
            "Cannot search for related tasks to '{}', at least one of these parameter has to be empty: {}",
            people::get(id).name,
            names.join(", ")
        )));
    }
    Ok(left)
}

fn person(reader: &mut Reader<'_>, name: &str, resolve: ResolvePerson<'_>) -> Option<PersonId> {
    let link = reader.text(name)?;
    match resolve(&link) {
        Ok(id) => Some(id),
        Err(problem) => {
            reader.problem(name, &problem);
            None
        }
    }
}

fn read_order(names: Option<Vec<String>>) -> Result<Vec<Order>, Refusal> {
    let names = names.unwrap_or_else(|| vec!["-importance".to_owned()]);
    names.iter().map(|name| one_order(name)).collect()
}

fn one_order(name: &str) -> Result<Order, Refusal> {
    let (reversed, plain) = name
        .strip_prefix('-')
        .map_or((false, name), |plain| (true, plain));
    let key = match plain {
        // A task's own id grows with its bug's here.
        "id" | "task" => OrderKey::Bug,
        "datecreated" => OrderKey::Created,
        "date_last_updated" => OrderKey::LastUpdated,
        "importance" => OrderKey::Importance,
        "status" => OrderKey::Status,
        "targetname" => OrderKey::Target,
        "assignee" => OrderKey::Assignee,
        "reporter" => OrderKey::Reporter,
        "message_count" => OrderKey::MessageCount,
        "information_type"
        | "title"
        | "milestone"
        | "dateassigned"
        | "date_closed"
        | "number_of_duplicates"
        | "users_affected_count"
        | "heat"
        | "latest_patch_uploaded"
        | "milestone_name"
        | "tag" => {
            return Err(Refusal::NotImitated(format!(
                "the stand-in does not order by {plain}"
            )));
        }
        _ => {
            return Err(Refusal::BadRequest(format!(
                "Unrecognized order_by: '{name}'"
            )));
        }
    };
    Ok(Order { key, reversed })
}

/// Which tags a bug has to have and not to have.
#[derive(Debug)]
struct TagFilter {
    /// One condition per tag asked for: a set of bits, and whether the bug must have one of them.
    conditions: Vec<(u16, bool)>,
    all: bool,
}

impl TagFilter {
    fn new(tags: &[String], all: bool) -> Self {
        let conditions = tags
            .iter()
            .map(|tag| {
                let (wanted, name) = tag
                    .strip_prefix('-')
                    .map_or((true, tag.as_str()), |name| (false, name));
                let set = match name {
                    "*" => u16::MAX,
                    // A tag that no bug has is an empty set.
                    name => TAGS
                        .iter()
                        .position(|known| *known == name)
                        .map_or(0, |bit| 1 << bit),
                };
                (set, wanted)
            })
            .collect();
        Self { conditions, all }
    }

    fn accepts(&self, tags: u16) -> bool {
        let mut met = self
            .conditions
            .iter()
            .map(|(set, wanted)| (tags & set != 0) == *wanted);
        if self.all {
            met.all(|met| met)
        } else {
            self.conditions.is_empty() || met.any(|met| met)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_asked_for_excluded_and_combined() {
        // "api" is the first tag, "build" the second.
        let filter = |tags: &[&str], all| {
            TagFilter::new(
                &tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>(),
                all,
            )
        };
        assert!(filter(&["api", "build"], false).accepts(0b01));
        assert!(!filter(&["api", "build"], true).accepts(0b01));
        assert!(filter(&["-api"], false).accepts(0b10));
        assert!(!filter(&["-api"], false).accepts(0b01));
        assert!(filter(&["*"], false).accepts(0b10) && !filter(&["*"], false).accepts(0));
        assert!(filter(&["-*"], false).accepts(0) && !filter(&["-*"], false).accepts(1));
        assert!(!filter(&["no-such-tag"], false).accepts(0b11));
    }

    #[test]
    fn unresolved_statuses_are_those_that_need_work() {
        let names: Vec<&str> = unresolved()
            .into_iter()
            .map(|status| STATUSES[status])
            .collect();
        assert_eq!(
            names,
            [
                "New",
                "Incomplete",
                "Confirmed",
                "Triaged",
                "In Progress",
                "Deferred",
                "Fix Committed"
            ]
        );
    }
}
