//! The invented projects and packages that bugs are filed against. They are the same for every seed.

use super::people::{PersonId, SUPERVISORS, ZED};

/// A target, by position in [`TARGETS`].
pub(crate) type TargetId = u8;

/// What kind of thing a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetKind {
    /// A project.
    Project,
    /// A distribution.
    Distribution,
    /// A source package of the distribution.
    SourcePackage,
}

/// Something bugs are filed against.
#[derive(Debug)]
pub(crate) struct Target {
    /// The path of its link, relative to the version.
    pub(crate) path: &'static str,
    /// The last part of the path.
    pub(crate) name: &'static str,
    /// The name to show: `Exampleproj`, `examplepkg (Exampledistro)`.
    pub(crate) display_name: &'static str,
    /// The name in notifications and activity: `exampleproj`, `examplepkg (Exampledistro)`.
    pub(crate) bug_target_name: &'static str,
    /// What kind of thing it is.
    pub(crate) kind: TargetKind,
}

impl Target {
    /// Who supervises its bugs.
    pub(crate) fn bug_supervisor() -> PersonId {
        SUPERVISORS
    }

    /// Who is subscribed to all its bugs.
    pub(crate) fn structural_subscriber(&self) -> Option<PersonId> {
        (self.name == "exampledocs").then_some(ZED)
    }

    /// Whether a task of `other` belongs to this target's bugs: those of a package belong to its
    /// distribution too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.path == other.path
            || (self.kind == TargetKind::Distribution && other.kind == TargetKind::SourcePackage)
    }
}

const fn project(name: &'static str, display_name: &'static str) -> Target {
    Target {
        path: name,
        name,
        display_name,
        bug_target_name: name,
        kind: TargetKind::Project,
    }
}

const fn package(path: &'static str, name: &'static str, full_name: &'static str) -> Target {
    Target {
        path,
        name,
        display_name: full_name,
        bug_target_name: full_name,
        kind: TargetKind::SourcePackage,
    }
}

/// The name of the distribution.
pub(crate) const DISTRIBUTION: &str = "exampledistro";

/// Every target.
pub(crate) const TARGETS: [Target; 13] = [
    project("exampleproj", "Exampleproj"),
    package(
        "exampledistro/+source/examplepkg",
        "examplepkg",
        "examplepkg (Exampledistro)",
    ),
    project("exampletool", "Example & Tool"),
    package(
        "exampledistro/+source/exampleparser",
        "exampleparser",
        "exampleparser (Exampledistro)",
    ),
    project("examplelib", "Examplelib"),
    project("exampledocs", "Example Docs"),
    package(
        "exampledistro/+source/exampleshell",
        "exampleshell",
        "exampleshell (Exampledistro)",
    ),
    Target {
        path: DISTRIBUTION,
        name: DISTRIBUTION,
        display_name: "Exampledistro",
        bug_target_name: DISTRIBUTION,
        kind: TargetKind::Distribution,
    },
    project("examplecloud", "Examplecloud"),
    package(
        "exampledistro/+source/examplekernel",
        "examplekernel",
        "examplekernel (Exampledistro)",
    ),
    project("exampleui", "Example UI"),
    package(
        "exampledistro/+source/example-fonts",
        "example-fonts",
        "example-fonts (Exampledistro)",
    ),
    package(
        "exampledistro/+source/libexample3.0",
        "libexample3.0",
        "libexample3.0 (Exampledistro)",
    ),
];

/// The target at this position.
pub(crate) fn get(id: TargetId) -> &'static Target {
    TARGETS.get(usize::from(id)).unwrap_or(&TARGETS[0])
}

/// The target with this path.
pub(crate) fn by_path(path: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.path == path)
}
