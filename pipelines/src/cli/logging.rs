//! The log: where it goes and how much of it there is.

use tracing_subscriber::EnvFilter;

use super::Global;
use crate::settings::Environment;

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Starts the log on standard error.
///
/// # Errors
/// When the filter or the format cannot be understood.
pub(crate) fn start(global: &Global, environment: &Environment) -> Result<(), String> {
    let filter = match (global.verbose, environment.own("LOG")) {
        (0, Some(filter)) => {
            EnvFilter::try_new(filter).map_err(|error| format!("PIPELINES_LOG: {error}"))?
        }
        (0, None) => EnvFilter::new("error"),
        (1, _) => EnvFilter::new("warn,pipelines=info,connectors=info,tables=info,engine=info"),
        (2, _) => EnvFilter::new("info,pipelines=debug,connectors=debug,tables=debug,engine=debug"),
        _ => EnvFilter::new("debug"),
    };
    let format = match (global.log_format, environment.own("LOG_FORMAT")) {
        (Some(format), _) => format,
        (None, None | Some("human")) => LogFormat::Human,
        (None, Some("json")) => LogFormat::Json,
        (None, Some(other)) => {
            return Err(format!(
                "PIPELINES_LOG_FORMAT: `{other}` is neither `human` nor `json`"
            ));
        }
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => builder.with_ansi(!environment.no_color()).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
