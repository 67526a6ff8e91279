//! The live line of a run.
//!
//! Owns how progress is shown: a line redrawn ten times a second on a terminal, plain lines elsewhere, or nothing. What
//! there is to show comes from a closure, so that the line never waits for data.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::printer::Printer;
use crate::settings::Environment;
use crate::shown;

/// How often the live line is redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a plain line is written.
const PLAIN: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// A live line on a terminal, plain lines elsewhere.
    Auto,
    /// A live line.
    Bar,
    /// A line every ten seconds.
    Plain,
    /// Nothing.
    None,
}

impl ProgressMode {
    fn resolved(self, environment: &Environment) -> Self {
        match self {
            Self::Auto if !std::io::stderr().is_terminal() => Self::Plain,
            Self::Auto
                if environment.get("CI").is_some() || environment.get("TERM") == Some("dumb") =>
            {
                Self::Plain
            }
            Self::Auto => Self::Bar,
            chosen => chosen,
        }
    }
}

/// What a stage has to show at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Done so far, in the stage's own unit.
    pub done: u64,
    /// How much there is, when that is known.
    pub total: Option<u64>,
    /// The rest of the line.
    pub detail: String,
}

type Source = Arc<dyn Fn() -> Status + Send + Sync>;

/// Shows the stages of one run, one after the other.
#[derive(Debug)]
pub struct Progress {
    printer: Printer,
    mode: ProgressMode,
    stage: Arc<Mutex<Option<Stage>>>,
    ticker: Option<tokio::task::JoinHandle<()>>,
    bar: ProgressBar,
}

struct Stage {
    name: &'static str,
    since: Instant,
    said: Instant,
    /// Whether the line drawn last had a total; `None` before the first.
    measured: Option<bool>,
    source: Source,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Progress {
    /// Begins to show progress.
    pub fn start(mode: ProgressMode, printer: Printer, environment: &Environment) -> Self {
        let mode = mode.resolved(environment);
        let target = if mode == ProgressMode::Bar {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let stage: Arc<Mutex<Option<Stage>>> = Arc::default();
        let ticker = (mode != ProgressMode::None).then(|| {
            let (stage, bar) = (Arc::clone(&stage), bar.clone());
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(REDRAW);
                loop {
                    ticks.tick().await;
                    if let Some(stage) = stage
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .as_mut()
                    {
                        draw(stage, mode, &bar, printer);
                    }
                }
            })
        });
        Self {
            printer,
            mode,
            stage,
            ticker,
            bar,
        }
    }

    /// The stage `name` begins; `status` tells at any moment how far it is.
    pub fn stage(&self, name: &'static str, status: impl Fn() -> Status + Send + Sync + 'static) {
        self.bar.set_prefix(name);
        let now = Instant::now();
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stage {
            name,
            since: now,
            said: now,
            measured: None,
            source: Arc::new(status),
        });
    }

    /// Says one line without disturbing the live one, if progress is shown.
    pub fn say(&self, line: impl std::fmt::Display) {
        if self.mode != ProgressMode::None {
            self.bar.suspend(|| self.printer.say(line));
        }
    }

    /// Says what must not be missed, whether or not progress is shown.
    pub fn warn(&self, warning: &str) {
        self.bar.suspend(|| self.printer.warning(warning));
    }

    /// Ends the display and wipes the live line.
    pub fn finish(&self) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(ticker) = &self.ticker {
            ticker.abort();
        }
        self.bar.finish_and_clear();
    }
}

fn draw(stage: &mut Stage, mode: ProgressMode, bar: &ProgressBar, printer: Printer) {
    let status = (stage.source)();
    let elapsed = stage.since.elapsed();
    let line = match (status.total, eta(&status, elapsed)) {
        (Some(_), Some(eta)) => format!("{}   ETA {eta}", status.detail),
        _ => status.detail.clone(),
    };
    let line = shown::cell(&line);
    match mode {
        ProgressMode::Bar => {
            // A total often becomes known only when the stage is under way.
            if stage.measured != Some(status.total.is_some()) {
                stage.measured = Some(status.total.is_some());
                let style = match status.total {
                    Some(_) => "  {prefix:<9} {bar:24.cyan/dim} {percent:>3}% {msg}",
                    None => "  {prefix:<9} {spinner:.cyan} {msg}",
                };
                if let Ok(style) = ProgressStyle::with_template(style) {
                    bar.set_style(style);
                }
            }
            if let Some(total) = status.total {
                bar.set_length(total);
            }
            bar.set_position(status.done);
            bar.set_message(line);
            bar.tick();
        }
        ProgressMode::Plain if stage.said.elapsed() >= PLAIN => {
            stage.said = Instant::now();
            let percent = status
                .total
                .filter(|total| *total > 0)
                .map(|total| format!("{:3}%  ", 100 * status.done / total));
            printer.say(format_args!(
                "  {:<9} {}{line}",
                stage.name,
                percent.unwrap_or_default()
            ));
        }
        _ => {}
    }
}

/// How long the rest takes at the speed so far.
fn eta(status: &Status, elapsed: Duration) -> Option<humantime::FormattedDuration> {
    let total = status
        .total
        .filter(|total| *total > status.done && status.done > 0)?;
    let rest = elapsed.as_secs_f64() * (total - status.done) as f64 / status.done as f64;
    Some(humantime::format_duration(Duration::from_secs(
        rest.round() as u64,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_the_speed_so_far() {
        let status = Status {
            done: 25,
            total: Some(100),
            detail: String::new(),
        };
        assert_eq!(
            eta(&status, Duration::from_secs(10)).unwrap().to_string(),
            "30s"
        );
        assert!(
            eta(
                &Status {
                    total: None,
                    ..status.clone()
                },
                Duration::from_secs(10)
            )
            .is_none()
        );
        assert!(eta(&Status { done: 0, ..status }, Duration::from_secs(10)).is_none());
    }
}
