//! A run as a terminal shows it: lines for what happens, and a live one for how far it is.
//!
//! Owns how the events of a run are told: progress as a line redrawn ten times a second on a terminal, as plain lines
//! elsewhere, or not at all; warnings in any case. What there is to show comes from the run ([`runner::event`]).

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use connectors::sample::Served;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::printer::Printer;
use crate::shown;
use runner::Prepared;
use runner::event::{RunEvent, RunObserver, StageProgress, Status};
use runner::quantity::{bytes, count};
use runner::settings::Environment;
use runner::store::{Run, StageName};

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

/// Shows one run.
#[derive(Debug)]
pub struct Terminal {
    printer: Printer,
    mode: ProgressMode,
    stage: Arc<Mutex<Option<Stage>>>,
    ticker: Option<tokio::task::JoinHandle<()>>,
    bar: ProgressBar,
}

#[derive(Debug)]
struct Stage {
    name: StageName,
    since: Instant,
    said: Instant,
    /// Whether the line drawn last had a total; `None` before the first.
    measured: Option<bool>,
    progress: StageProgress,
}

impl Terminal {
    /// Shows what it is told from now on.
    pub fn new(mode: ProgressMode, printer: Printer, environment: &Environment) -> Self {
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

    fn stage(&self, name: StageName, progress: &StageProgress) {
        self.bar.set_prefix(name.to_string());
        let now = Instant::now();
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stage {
            name,
            since: now,
            said: now,
            measured: None,
            progress: progress.clone(),
        });
    }

    /// Says one line without disturbing the live one, if progress is shown.
    fn say(&self, line: impl std::fmt::Display) {
        if self.mode != ProgressMode::None {
            self.bar.suspend(|| self.printer.say(line));
        }
    }

    /// Ends the display and wipes the live line.
    fn finish(&self) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.bar.finish_and_clear();
    }
}

impl RunObserver for Terminal {
    fn observe(&self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Remark(remark) => self.printer.say(remark),
            RunEvent::Claimed {
                run,
                prepared,
                sample,
            } => announce(self.printer, run, prepared, *sample),
            RunEvent::Progress { stage, progress } => self.stage(*stage, progress),
            RunEvent::Decided { mode, decision } => {
                self.say(format_args!("  {mode} ({})", decision.reason));
            }
            RunEvent::InputsStaged {
                files,
                bytes: size,
                location,
            } => self.say(format_args!(
                "  copied {} of landed records ({}) to where executors read them, beside {location}",
                count(*files, "file"),
                bytes(*size),
            )),
            RunEvent::Warning(warning) => self.bar.suspend(|| self.printer.warning(warning)),
            RunEvent::Ended => self.finish(),
        }
    }
}

/// Says which run this is, and with which values.
fn announce(printer: Printer, run: &Run, prepared: &Prepared, sample: Option<&Served>) {
    printer.say(format_args!("run {}  {}", run.id, run.pipeline));
    if let Some(sample) = sample {
        printer.say(format_args!("  {}", sample.announcement));
    }
    if run.attempt > 1 {
        printer.say(format_args!(
            "  going on with this unfinished run, attempt {}; --restart would begin anew",
            run.attempt
        ));
    }
    let values = &prepared.bound.parameters;
    let declared = prepared
        .definition
        .parameters
        .iter()
        .map(|parameter| &parameter.name);
    for (name, value) in declared.filter_map(|name| Some((name, values.get(name)?))) {
        printer.say(format_args!(
            "  ${name} = {}  ({})",
            value.text().unwrap_or_else(|| String::from("NULL")),
            value.origin
        ));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(ticker) = &self.ticker {
            ticker.abort();
        }
        self.bar.finish_and_clear();
    }
}

fn draw(stage: &mut Stage, mode: ProgressMode, bar: &ProgressBar, printer: Printer) {
    let status = stage.progress.now();
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
