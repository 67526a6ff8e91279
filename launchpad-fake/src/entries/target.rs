//! The entries of projects, the distribution and its source packages.

use serde_json::Value;

use super::{Context, Entry, Fields, time};
use crate::generator::people::DEVELOPERS;
use crate::generator::targets::{DISTRIBUTION, Target, TargetKind};
use crate::keys;
use crate::links::Links;

/// 2009-02-01: when the projects and the distribution were registered.
const REGISTERED: i64 = 1_233_446_400_000_000;

/// Writes a target.
pub(crate) fn entry(context: Context<'_>, target: &Target) -> Entry {
    let self_link = context.links.api(target.path);
    let mut fields = Fields::default();
    fields.set("name", target.name);
    fields.set("display_name", target.display_name);
    fields.set("title", target.display_name);
    let kind = match target.kind {
        TargetKind::SourcePackage => {
            fields.set("distribution_link", context.links.api(DISTRIBUTION));
            fields.set("upstream_product_link", Value::Null);
            &keys::SOURCE_PACKAGE
        }
        TargetKind::Project | TargetKind::Distribution => {
            fields.set("active", true);
            fields.set(
                "bug_supervisor_link",
                context.person(Target::bug_supervisor()),
            );
            fields.set("date_created", time(REGISTERED));
            fields.set("description", Value::Null);
            fields.set("domain_name", "example.org");
            fields.set("information_type", "Public");
            fields.set("official_bugs", true);
            fields.set("owner_link", context.person(DEVELOPERS));
            fields.set("private", false);
            fields.set("summary", format!("{} is invented.", target.display_name));
            if target.kind == TargetKind::Project {
                &keys::PROJECT
            } else {
                &keys::DISTRIBUTION
            }
        }
    };
    fields.entry(kind, context.links, &self_link, &Links::web(target.path))
}
