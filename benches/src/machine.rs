//! The shape of the machine, without which no number means anything.

/// Processors, memory and kernel in one line; what cannot be read is left out.
pub(crate) fn shape() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(String::from(line.split_once(':')?.1.trim()))
    };
    let processors = std::thread::available_parallelism().ok().map(|count| {
        let model = field(&read("/proc/cpuinfo"), "model name")
            .unwrap_or_else(|| String::from("unknown model"));
        format!("{count} × {model}")
    });
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|total| total.strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map(|kibibytes| format!("{} GiB", kibibytes >> 20));
    let kernel = Some(read("/proc/sys/kernel/osrelease").trim().to_owned())
        .filter(|release| !release.is_empty());
    [
        processors,
        memory,
        kernel.map(|release| format!("Linux {release}")),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ")
}
