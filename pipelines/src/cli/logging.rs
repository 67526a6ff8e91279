//! The log: where it goes and how much of it there is. Secrets in addresses do not get into it.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use runner::redact::redacted;
use runner::settings::Environment;

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
pub(crate) fn start(
    verbose: u8,
    format: Option<LogFormat>,
    environment: &Environment,
) -> Result<(), String> {
    let filter = match (verbose, environment.own("LOG")) {
        (0, Some(filter)) => {
            EnvFilter::try_new(filter).map_err(|error| format!("PIPELINES_LOG: {error}"))?
        }
        (0, None) => EnvFilter::new("error"),
        (1, _) => EnvFilter::new(
            "warn,pipelines=info,runner=info,connectors=info,tables=info,engine=info",
        ),
        (2, _) => EnvFilter::new(
            "info,pipelines=debug,runner=debug,connectors=debug,tables=debug,engine=debug",
        ),
        _ => EnvFilter::new("debug"),
    };
    let format = match (format, environment.own("LOG_FORMAT")) {
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
        .with_writer(|| Redacting);
    match format {
        LogFormat::Human => {
            let colour = io::stderr().is_terminal() && !environment.no_color();
            builder.with_ansi(colour).init();
        }
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Standard error without the secrets. An event is written in one piece.
struct Redacting;

impl Write for Redacting {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        io::stderr().lock().write_all(redacted(&text).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
