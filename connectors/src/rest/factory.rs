//! Kinds of sources on this engine: `REST`, whose spec a definition names, and kinds whose spec is part of a program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use language::nearest;

use super::RestSource;
use super::check;
use super::options::{descriptions, resolve};
use super::record;
use super::spec::{Location, Spec};
use super::spec_error::SpecError;
use crate::extract::Extract;
use crate::option::{OptionProblem, OptionSpec, OptionValue, Parser};
use crate::source::{Declared, OpenError, Read, SourceFactory};

/// `REST`: any API that the spec file of the option `spec` describes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rest;

impl SourceFactory for Rest {
    fn kind(&self) -> &str {
        "REST"
    }

    fn summary(&self) -> &str {
        "any paginated JSON API that a spec describes; the location is one of the spec's"
    }

    fn options(&self) -> Vec<OptionSpec> {
        let mut options = vec![OptionSpec {
            name: "spec".to_owned(),
            parser: Parser::Text,
            required: true,
            secret: false,
            default: None,
            doc: "path of the TOML file that describes the API; its parameters are options too"
                .to_owned(),
        }];
        options.extend(descriptions(None));
        options
    }

    fn read(&self, _declared: &Declared) -> Read {
        Read::Extracted(record::schema())
    }

    fn check(&self, declared: &Declared) -> Vec<OptionProblem> {
        let is_known_later = matches!(declared.options.get("spec"), Some(None));
        let mut declared = declared.clone();
        match take_spec(&mut declared) {
            Ok(spec) => check(&spec, &declared),
            Err(_) if is_known_later => Vec::new(),
            Err(problem) => vec![problem],
        }
    }

    fn open(&self, declared: &Declared) -> Result<Arc<dyn Extract>, OpenError> {
        let mut declared = declared.clone();
        let spec = take_spec(&mut declared).map_err(|problem| OpenError::Options {
            problems: vec![problem],
        })?;
        open(&Arc::new(spec), &declared)
    }
}

/// An API whose spec is part of a program, as a kind of its own.
#[derive(Debug, Clone)]
pub struct Api {
    kind: String,
    spec: Arc<Spec>,
}

impl Api {
    /// The kind `kind` of the API that a spec describes; `path` names the spec in messages.
    ///
    /// # Errors
    /// Everything wrong with the spec.
    pub fn new(kind: &str, path: &str, spec: &str) -> Result<Self, SpecError> {
        Ok(Self {
            kind: kind.to_owned(),
            spec: Arc::new(check::parse(path, spec)?),
        })
    }
}

impl SourceFactory for Api {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn summary(&self) -> &str {
        &self.spec.summary
    }

    fn locations(&self) -> Vec<(String, String)> {
        let locations = self.spec.locations.iter();
        locations
            .map(|(name, location)| (name.get_ref().clone(), location.summary.clone()))
            .collect()
    }

    fn options(&self) -> Vec<OptionSpec> {
        descriptions(Some(&self.spec))
    }

    fn read(&self, _declared: &Declared) -> Read {
        Read::Extracted(record::schema())
    }

    fn check(&self, declared: &Declared) -> Vec<OptionProblem> {
        check(&self.spec, declared)
    }

    fn open(&self, declared: &Declared) -> Result<Arc<dyn Extract>, OpenError> {
        open(&self.spec, declared)
    }
}

fn check(spec: &Spec, declared: &Declared) -> Vec<OptionProblem> {
    match location_of(spec, &declared.location) {
        Ok(location) => resolve(spec, location, &declared.options)
            .err()
            .unwrap_or_default(),
        Err(problem) => vec![problem],
    }
}

fn open(spec: &Arc<Spec>, declared: &Declared) -> Result<Arc<dyn Extract>, OpenError> {
    let refused = |problems| OpenError::Options { problems };
    let location =
        location_of(spec, &declared.location).map_err(|problem| refused(vec![problem]))?;
    let settings = resolve(spec, location, &declared.options).map_err(refused)?;
    let source = RestSource::new(Arc::clone(spec), &declared.location, settings)
        .map_err(|source| OpenError::Client { source })?;
    Ok(Arc::new(source))
}

fn location_of<'a>(spec: &'a Spec, name: &str) -> Result<&'a Location, OptionProblem> {
    let names = spec.locations.keys().map(|name| name.get_ref().as_str());
    spec.locations.get(name).ok_or_else(|| {
        let all: Vec<&str> = names.clone().collect();
        let message = format!("`{name}` is none of {}", all.join(", "));
        OptionProblem::new("location", message, nearest(name, names))
    })
}

/// The spec that the option `spec` names; the option is taken out, as it is none of the spec's own.
fn take_spec(declared: &mut Declared) -> Result<Spec, OptionProblem> {
    let wrong = |message: String| OptionProblem::new("spec", message, None);
    match declared.options.remove("spec").flatten() {
        None => Err(wrong("is missing: the path of a TOML file".to_owned())),
        Some(OptionValue::Secret(_)) => {
            Err(wrong("is no secret: write the path plainly".to_owned()))
        }
        Some(OptionValue::Plain(path)) => read_spec(&PathBuf::from(path)).map_err(wrong),
    }
}

fn read_spec(path: &Path) -> Result<Spec, String> {
    let shown = path.display().to_string();
    let text = language::regular::read_text(path)
        .map_err(|cause| format!("cannot be read: {shown}: {cause}"))?;
    check::parse(&shown, &text).map_err(|error: SpecError| format!("has mistakes: {error}"))
}
