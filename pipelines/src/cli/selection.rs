//! Which pipeline a command is about, with which values: the arguments of `run` and `plan`.

use runner::Selection;
use runner::error::RunError;

use super::flags::RunFlags;
use super::session::Session;

/// Which pipeline, with which values.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SelectionArguments {
    /// A pipeline's name (see `pipelines list`), or the path of its file
    #[arg(value_name = "PIPELINE")]
    pub(super) name: String,
    /// Set a parameter; may be repeated [env: PIPELINES_SET__NAME]
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parameter)]
    pub(super) set: Vec<(String, String)>,
    /// First day of the data; sets data_date_start
    #[arg(long, value_name = "DATE")]
    pub(super) from: Option<String>,
    /// The day after the last one; sets data_date_end
    #[arg(long, value_name = "DATE")]
    pub(super) to: Option<String>,
    #[command(flatten)]
    pub(super) flags: RunFlags,
}

impl SelectionArguments {
    /// # Errors
    /// When a flag has a value that cannot be read.
    pub(super) fn selection(&self, session: &Session) -> Result<Selection, RunError> {
        Ok(Selection {
            pipeline: session.pipeline(&self.name),
            set: self.set.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            overrides: self.flags.overrides()?,
        })
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((String::from(name.trim()), String::from(value)))
        }
        _ => Err(String::from(
            "write it as name=value, as in member=ada-example",
        )),
    }
}
