//! The named read operations and their parameters, for the WADL.
//!
//! What an operation does is in [`crate::search`] and [`crate::routes`]; both read the same names.

/// A parameter of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    /// The name in the query.
    pub(crate) name: &'static str,
    /// What values it takes.
    pub(crate) takes: Takes,
    /// Whether the operation needs it.
    pub(crate) required: bool,
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes {
    /// Any JSON value or text.
    Any,
    /// A date or a point in time in UTC.
    DateTime,
    /// A link to an entry of the named type.
    Link(&'static str),
    /// One of these words, sent as it is.
    Choice(&'static [&'static str]),
}

/// A named operation that answers to GET.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    /// The value of `ws.op`.
    pub(crate) name: &'static str,
    /// Its parameters.
    pub(crate) parameters: &'static [Parameter],
    /// The representation of its answer: `person-full`, `bug_task-page`.
    pub(crate) answer: &'static str,
}

const fn optional(name: &'static str, takes: Takes) -> Parameter {
    Parameter {
        name,
        takes,
        required: false,
    }
}

const fn required(name: &'static str) -> Parameter {
    Parameter {
        name,
        takes: Takes::Any,
        required: true,
    }
}

const PERSON: Takes = Takes::Link("person");

/// The bug search.
pub(crate) const SEARCH_TASKS: Operation = Operation {
    name: "searchTasks",
    answer: "bug_task-page",
    parameters: &[
        optional("order_by", Takes::Any),
        optional("search_text", Takes::Any),
        optional("status", Takes::Any),
        optional("importance", Takes::Any),
        optional("information_type", Takes::Any),
        optional("assignee", PERSON),
        optional("bug_reporter", PERSON),
        optional("bug_supervisor", PERSON),
        optional("bug_commenter", PERSON),
        optional("bug_subscriber", PERSON),
        optional("structural_subscriber", PERSON),
        optional("owner", PERSON),
        optional("affected_user", PERSON),
        optional("has_patch", Takes::Any),
        optional("tags", Takes::Any),
        optional("tags_combinator", Takes::Choice(&["Any", "All"])),
        optional("omit_duplicates", Takes::Any),
        optional("omit_targeted", Takes::Any),
        optional("modified_since", Takes::DateTime),
        optional("created_since", Takes::DateTime),
        optional("created_before", Takes::DateTime),
    ],
};

/// A person by e-mail address.
pub(crate) const GET_BY_EMAIL: Operation = Operation {
    name: "getByEmail",
    answer: "person-full",
    parameters: &[required("email")],
};

/// People and teams by a part of their names.
pub(crate) const FIND: Operation = Operation {
    name: "find",
    answer: "person-page",
    parameters: &[required("text")],
};

/// People by a part of their names.
pub(crate) const FIND_PERSON: Operation = Operation {
    name: "findPerson",
    answer: "person-page",
    parameters: &[
        required("text"),
        optional("created_after", Takes::DateTime),
        optional("created_before", Takes::DateTime),
    ],
};

/// Teams by a part of their names.
pub(crate) const FIND_TEAM: Operation = Operation {
    name: "findTeam",
    answer: "person-page",
    parameters: &[required("text")],
};

/// The operations of a resource type, by the type's name.
pub(crate) fn of(resource_type: &str) -> &'static [Operation] {
    match resource_type {
        "people" => &[GET_BY_EMAIL, FIND, FIND_PERSON, FIND_TEAM],
        "bugs" | "person" | "team" | "project" | "distribution" | "distribution_source_package" => {
            &[SEARCH_TASKS]
        }
        _ => &[],
    }
}
