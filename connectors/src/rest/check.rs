//! Whether the names in a spec fit together: resources, parameters, placeholders, styles.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use super::address::root_address;
use super::options::is_engine_option;
use super::spec::{AuthKind, Location, Pagination, Resource, Spec, Style};
use super::spec_error::{SpecError, SpecProblem, from_toml, problem};
use super::template::{Scope, Template};
use crate::option::hint;
use language::nearest;

/// Reads and checks a spec.
///
/// # Errors
/// The first thing that is not TOML or not a key of ours; otherwise everything in it that
/// does not fit together.
pub(crate) fn parse(file: &str, text: &str) -> Result<Spec, SpecError> {
    let error = |problems| SpecError {
        file: file.to_owned(),
        problems,
    };
    let spec: Spec = toml::from_str(text).map_err(|cause| error(vec![from_toml(text, &cause)]))?;
    let problems = problems(&spec, text);
    if problems.is_empty() {
        Ok(spec)
    } else {
        Err(error(problems))
    }
}

/// Everything in the spec that does not fit together, in the order of the file.
fn problems(spec: &Spec, text: &str) -> Vec<SpecProblem> {
    let mut check = Check {
        spec,
        text,
        problems: Vec::new(),
    };
    check.base();
    check.auth();
    check.pagination(&spec.pagination);
    check.parameters();
    for (name, resource) in &spec.resources {
        check.resource(name, resource);
    }
    for location in spec.locations.values() {
        check.location(location);
    }
    let mut problems = check.problems;
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    problems
}

/// What bare names may stand for at a place.
#[derive(Clone, Copy)]
enum BareNames {
    Parameters,
    Fields,
}

struct Check<'a> {
    spec: &'a Spec,
    text: &'a str,
    problems: Vec<SpecProblem>,
}

impl<'a> Check<'a> {
    fn add(&mut self, span: &Range<usize>, message: String) {
        self.problems.push(problem(self.text, span, message));
    }

    fn base(&mut self) {
        let base = &self.spec.base;
        for address in base.aliases.values() {
            if let Err(message) = root_address(address.get_ref()) {
                self.add(&address.span(), message);
            }
        }
        let url = &base.url;
        if !base.aliases.contains_key(url.get_ref())
            && let Err(message) = root_address(url.get_ref())
        {
            self.add(&url.span(), message);
        }
        if let Some(path) = &base.path {
            for reference in path.get_ref().references() {
                if reference.to_string() != "version" || base.version.is_none() {
                    let message = format!(
                        "`{{{reference}}}` is unknown here; only `{{version}}`, with `version` set, is"
                    );
                    self.add(&path.span(), message);
                }
            }
        }
    }

    fn auth(&mut self) {
        let auth = &self.spec.auth;
        match (&auth.header, auth.kind) {
            (Some(header), AuthKind::Header) => {
                if reqwest::header::HeaderName::try_from(header.get_ref().as_str()).is_err() {
                    self.add(&header.span(), "is not the name of a header".to_owned());
                }
            }
            (Some(header), _) => {
                self.add(
                    &header.span(),
                    "belongs to `kind = \"header\"` only".to_owned(),
                );
            }
            (None, AuthKind::Header) => {
                let at = self.text.find("[auth]").unwrap_or(0);
                self.add(
                    &(at..at),
                    "`kind = \"header\"` needs the name of the `header`".to_owned(),
                );
            }
            (None, _) => {}
        }
    }

    fn pagination(&mut self, pagination: &Pagination) {
        let missing = match pagination.style.get_ref() {
            Style::Single | Style::LinkHeader => None,
            Style::NextLink => pagination.next.is_none().then_some("next"),
            Style::PageNumber if pagination.page.is_none() => Some("page"),
            Style::OffsetLimit if pagination.offset.is_empty() => Some("offset"),
            Style::PageNumber | Style::OffsetLimit => pagination.size.is_none().then_some("size"),
            Style::Cursor if pagination.cursor.is_none() => Some("cursor"),
            Style::Cursor => pagination.next.is_none().then_some("next"),
        };
        if let Some(key) = missing {
            self.add(
                &pagination.style.span(),
                format!("this style needs the key `{key}`"),
            );
        }
    }

    fn parameters(&mut self) {
        for (name, parameter) in &self.spec.parameters {
            if is_engine_option(name.get_ref()) {
                self.add(
                    &name.span(),
                    format!("`{name}` is an option of every API already"),
                );
            }
            let Some(default) = &parameter.default else {
                continue;
            };
            if parameter.required {
                self.add(
                    &default.span(),
                    "a required parameter has no default".to_owned(),
                );
            }
            if !parameter.choices.is_empty() && !parameter.choices.contains(default.get_ref()) {
                self.add(
                    &default.span(),
                    format!("`{default}` is none of the choices"),
                );
            }
        }
    }

    fn named<V>(
        &mut self,
        what: &str,
        name: &Spanned<String>,
        all: &'a BTreeMap<Spanned<String>, V>,
    ) -> Option<&'a V> {
        let found = all.get(name.get_ref().as_str());
        if found.is_none() {
            let near = nearest(name.get_ref(), all.keys().map(|key| key.get_ref().as_str()));
            let message = format!("there is no {what} `{name}`{}", hint(near));
            self.add(&name.span(), message);
        }
        found
    }

    fn resource_named(&mut self, name: &Spanned<String>) -> Option<&'a Resource> {
        self.named("resource", name, &self.spec.resources)
    }

    fn collection(&mut self, name: &Spanned<String>) -> Option<&'a Resource> {
        let resource = self.resource_named(name)?;
        if resource.records.is_none() {
            self.add(
                &name.span(),
                format!("`{name}` is no collection: it has no `records`"),
            );
        }
        Some(resource)
    }

    fn entry(&mut self, name: &Spanned<String>) -> Option<&'a Resource> {
        let resource = self.resource_named(name)?;
        if resource.records.is_some() {
            self.add(
                &name.span(),
                format!("`{name}` is a collection, an entry is needed"),
            );
        }
        Some(resource)
    }

    fn resource(&mut self, name: &Spanned<String>, resource: &'a Resource) {
        self.template(
            &resource.path,
            &[Scope::Parent, Scope::Root, Scope::Item],
            BareNames::Parameters,
            true,
        );
        for values in resource.query.values() {
            for template in values.get_ref().templates() {
                let template = Spanned::new(values.span(), template.clone());
                self.template(
                    &template,
                    &[Scope::Parent, Scope::Root, Scope::Item],
                    BareNames::Parameters,
                    false,
                );
            }
        }
        if let Some(pagination) = &resource.pagination {
            self.pagination(pagination);
        }
        for embed in &resource.embed {
            self.collection(&embed.resource);
        }
        for child in &resource.children {
            if let Some(found) = self.collection(child) {
                if found.record.is_none() {
                    self.add(
                        &child.span(),
                        format!("`{child}` has no `record`: nothing of it would be landed"),
                    );
                }
                if !found.children.is_empty() || !found.embed.is_empty() {
                    let message = format!(
                        "`{child}` is a child of `{name}` and has children of its own, which are not read; \
                         make it the `list` of a location"
                    );
                    self.add(&child.span(), message);
                }
            }
        }
        if let Some(record) = &resource.record {
            for template in [&record.key, &record.url] {
                self.template(
                    template,
                    &[Scope::Parent, Scope::Root],
                    BareNames::Fields,
                    true,
                );
            }
            if let Some(actor) = &record.actor {
                self.entry(&actor.resource);
            }
        }
    }

    fn location(&mut self, location: &'a Location) {
        if let Some(root) = &location.root {
            self.entry(root);
        }
        let list = self.collection(&location.list);
        if let Some(list) = list
            && *list
                .pagination
                .as_ref()
                .unwrap_or(&self.spec.pagination)
                .style
                .get_ref()
                == Style::OffsetLimit
            && list.identity.is_none()
        {
            let message = format!(
                "`{}` is paged by offset and has no `identity`: rows that move could not be told apart",
                location.list
            );
            self.add(&location.list.span(), message);
        }
        self.template(&location.unit, &[Scope::Root], BareNames::Fields, true);
        let entry = match &location.fetch {
            Some(fetch) => self.entry(fetch),
            None => list,
        };
        if entry.is_some_and(|entry| entry.record.is_none() && entry.children.is_empty()) {
            let span = location.fetch.as_ref().unwrap_or(&location.list).span();
            self.add(
                &span,
                "has neither a `record` nor `children`: nothing would be landed".to_owned(),
            );
        }
        if let Some(only) = &location.only_root_actor {
            let root = location.root.as_ref();
            let root = root.and_then(|root| self.spec.resources.get(root.get_ref().as_str()));
            if root.is_none_or(|root| root.identity.is_none()) {
                let message = "needs the location to have a `root` with an `identity`";
                self.add(&only.parameter.span(), message.to_owned());
            }
            if let Some(parameter) = self.named("parameter", &only.parameter, &self.spec.parameters)
                && !parameter.choices.contains(only.equals.get_ref())
            {
                let near = nearest(
                    only.equals.get_ref(),
                    parameter.choices.iter().map(String::as_str),
                );
                let message = format!(
                    "`{}` is none of the choices of `{}`{}",
                    only.equals,
                    only.parameter,
                    hint(near)
                );
                self.add(&only.equals.span(), message);
            }
        }
    }

    fn template(
        &mut self,
        template: &Spanned<Template>,
        scopes: &[Scope],
        bare: BareNames,
        always: bool,
    ) {
        for reference in template.get_ref().references() {
            if reference.scope != Scope::Bare {
                if !scopes.contains(&reference.scope) {
                    self.add(
                        &template.span(),
                        format!("`{{{reference}}}` is not reachable here"),
                    );
                }
                continue;
            }
            if matches!(bare, BareNames::Fields) {
                continue;
            }
            let name = reference.field.to_string();
            match self.spec.parameters.get(name.as_str()) {
                None => {
                    let names = self
                        .spec
                        .parameters
                        .keys()
                        .map(|key| key.get_ref().as_str());
                    let message = format!(
                        "there is no parameter `{name}`{}",
                        hint(nearest(&name, names))
                    );
                    self.add(&template.span(), message);
                }
                Some(parameter) if always && !parameter.required && parameter.default.is_none() => {
                    let message = format!(
                        "the parameter `{name}` may be left out, an address cannot do without it"
                    );
                    self.add(&template.span(), message);
                }
                Some(_) => {}
            }
        }
    }
}
