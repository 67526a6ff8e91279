//! Absolute links of one request: built from its `Host` header and version, as the real service does.

/// A version of the web service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `beta`
    Beta,
    /// `1.0`
    One,
    /// `devel`
    Devel,
}

impl Version {
    /// The version named by a path segment, if there is such a version.
    pub(crate) fn parse(segment: &str) -> Option<Self> {
        match segment {
            "beta" => Some(Self::Beta),
            "1.0" => Some(Self::One),
            "devel" => Some(Self::Devel),
            _ => None,
        }
    }

    /// The path segment of the version.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Beta => "beta",
            Self::One => "1.0",
            Self::Devel => "devel",
        }
    }
}

/// The web site a page of which a `web_link` names. It is a reserved name: nothing answers there.
const WEB_ROOT: &str = "launchpad.test";

/// Builds the links in the bodies of one answer.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    root: String,
    version: Version,
}

impl Links {
    /// Links for a request that named `host` and `version`.
    pub(crate) fn new(host: &str, version: Version) -> Self {
        Self {
            root: format!("http://{host}/{}", version.name()),
            version,
        }
    }

    /// The version asked for.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// `http://host/version`, without a final slash.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The API link of `path` (relative to the version, no leading slash).
    pub(crate) fn api(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }

    /// The link to the description of an entry or collection type.
    pub(crate) fn resource_type(&self, name: &str) -> String {
        format!("{}/#{name}", self.root)
    }

    /// The link to a page of the bug tracker's web site.
    pub(crate) fn bugs_web(path: &str) -> String {
        format!("https://bugs.{WEB_ROOT}/{path}")
    }

    /// The link to a page of the main web site.
    pub(crate) fn web(path: &str) -> String {
        format!("https://{WEB_ROOT}/{path}")
    }

    /// The link to a page of the code hosting web site.
    pub(crate) fn code_web(path: &str) -> String {
        format!("https://code.{WEB_ROOT}/{path}")
    }
}
