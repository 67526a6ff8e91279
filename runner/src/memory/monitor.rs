//! The memory monitor: what the process holds, how much it ever held, and whether extraction should wait.
//!
//! Owns the sampling of resident memory and the pause of extraction above a threshold. The engine's pool is
//! `engine::Budget`'s; that the ceiling holds is `engine::memory`'s; what is kept of the measurements is the run store's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use connectors::extract::Gate;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::sync::Notify;

/// How often the monitor looks.
const PERIOD: Duration = Duration::from_millis(100);

/// What the process holds at one moment, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Resident memory.
    pub resident: u64,
    /// Address space.
    pub virtual_size: u64,
}

/// What the monitor knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryReport {
    /// At the moment of the report.
    pub now: Usage,
    /// Resident memory in percent of the machine's (or the control group's).
    pub percent: f64,
    /// The most that was ever resident, bytes.
    pub peak: u64,
    /// Average of the resident memory over the run, bytes.
    pub average: u64,
}

/// Measures this process from its creation until it is dropped.
#[derive(Debug)]
pub struct MemoryMonitor {
    shared: Arc<Shared>,
    sampler: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    total: u64,
    resident: AtomicU64,
    virtual_size: AtomicU64,
    peak: AtomicU64,
    sum: AtomicU64,
    samples: AtomicU64,
}

impl MemoryMonitor {
    /// Starts to measure.
    pub fn start() -> Self {
        let shared = Arc::new(Shared {
            total: available_bytes(),
            resident: AtomicU64::new(0),
            virtual_size: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            samples: AtomicU64::new(0),
        });
        shared.sample();
        let sampled = Arc::clone(&shared);
        let sampler = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PERIOD);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                sampled.sample();
            }
        });
        Self { shared, sampler }
    }

    /// Measures now and tells all that is known.
    pub fn report(&self) -> MemoryReport {
        self.shared.sample();
        self.shared.report()
    }

    /// A gate that closes while resident memory is above `threshold` bytes and waiting can help.
    pub fn gate(&self, threshold: u64) -> Arc<MemoryGate> {
        Arc::new(MemoryGate {
            shared: Arc::clone(&self.shared),
            threshold,
            buffered: AtomicU64::new(0),
            flush: Notify::new(),
            pauses: AtomicU64::new(0),
        })
    }
}

impl Drop for MemoryMonitor {
    fn drop(&mut self) {
        self.sampler.abort();
    }
}

impl Shared {
    fn sample(&self) {
        let usage = usage();
        self.resident.store(usage.resident, Ordering::Relaxed);
        self.virtual_size
            .store(usage.virtual_size, Ordering::Relaxed);
        self.peak
            .fetch_max(usage.resident.max(peak_of_process()), Ordering::Relaxed);
        self.sum.fetch_add(usage.resident, Ordering::Relaxed);
        self.samples.fetch_add(1, Ordering::Relaxed);
    }

    fn report(&self) -> MemoryReport {
        let now = Usage {
            resident: self.resident.load(Ordering::Relaxed),
            virtual_size: self.virtual_size.load(Ordering::Relaxed),
        };
        MemoryReport {
            now,
            percent: 100.0 * now.resident as f64 / self.total.max(1) as f64,
            peak: self.peak.load(Ordering::Relaxed),
            average: self.sum.load(Ordering::Relaxed) / self.samples.load(Ordering::Relaxed).max(1),
        }
    }
}

/// Holds extraction back while memory is above the threshold.
///
/// Waiting helps only while landed records are still in memory: the gate asks for them to be written out and opens
/// again when the memory fell or nothing is left to write, so it can slow a run down but never stop it.
#[derive(Debug)]
pub struct MemoryGate {
    shared: Arc<Shared>,
    threshold: u64,
    buffered: AtomicU64,
    flush: Notify,
    pauses: AtomicU64,
}

impl MemoryGate {
    /// Records entered the landing buffer.
    pub fn buffered(&self, records: u64) {
        self.buffered.fetch_add(records, Ordering::SeqCst);
    }

    /// Records left the landing buffer for the disk.
    pub fn written(&self, records: u64) {
        self.buffered.fetch_sub(records, Ordering::SeqCst);
    }

    /// Completes when the gate wants the landing buffer written out.
    pub async fn flush_wanted(&self) {
        self.flush.notified().await;
    }

    /// How often extraction had to wait.
    pub fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }

    fn above(&self) -> bool {
        self.shared.resident.load(Ordering::Relaxed) > self.threshold
    }
}

#[async_trait]
impl Gate for MemoryGate {
    async fn ready(&self) {
        if !self.above() || self.buffered.load(Ordering::SeqCst) == 0 {
            return;
        }
        self.pauses.fetch_add(1, Ordering::Relaxed);
        while self.above() && self.buffered.load(Ordering::SeqCst) > 0 {
            self.flush.notify_one();
            tokio::time::sleep(PERIOD / 4).await;
        }
    }
}

/// The memory this process may use, bytes: the narrowest limit around it, else the machine's.
pub fn available_bytes() -> u64 {
    engine::memory::available().unwrap_or_else(|| {
        let mut system = System::new();
        system.refresh_memory();
        system.total_memory()
    })
}

fn usage() -> Usage {
    let Ok(pid) = sysinfo::get_current_pid() else {
        return Usage::default();
    };
    let mut system = System::new();
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        ProcessRefreshKind::nothing().with_memory().without_tasks(),
    );
    system
        .process(pid)
        .map_or_else(Usage::default, |process| Usage {
            resident: process.memory(),
            virtual_size: process.virtual_memory(),
        })
}

/// The kernel's own high-water mark, where it keeps one: it misses nothing between two samples.
fn peak_of_process() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map_or(0, |kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_peak_is_at_least_what_is_resident() {
        let report = MemoryMonitor::start().report();
        assert!(
            report.now.resident > 0 && report.peak >= report.now.resident,
            "{report:?}"
        );
        assert!(report.percent > 0.0 && report.percent < 100.0, "{report:?}");
    }

    #[tokio::test]
    async fn the_gate_is_open_below_the_threshold() {
        let monitor = MemoryMonitor::start();
        let gate = monitor.gate(u64::MAX);
        gate.buffered(10);
        gate.ready().await;
        assert_eq!(gate.pauses(), 0);
    }

    #[tokio::test]
    async fn the_gate_asks_for_a_flush_and_opens_when_nothing_is_left_to_write() {
        let monitor = MemoryMonitor::start();
        let gate = monitor.gate(1);
        gate.buffered(10);
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.ready().await }
        });
        gate.flush_wanted().await;
        assert!(!waiting.is_finished());
        gate.written(10);
        waiting.await.unwrap();
        assert_eq!(gate.pauses(), 1);
    }
}
