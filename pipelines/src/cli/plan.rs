//! `pipelines plan`: what a run would read, do, write and replace. Owns how it is told.

use runner::error::RunError;
use runner::preview::Preview;
use runner::quantity::{bytes, count};

use super::exit::ExitStatus;
use super::printer::Output as Form;
use super::report;
use super::selection::SelectionArguments;
use super::session::Session;

/// What to plan.
#[derive(Debug, clap::Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    selection: SelectionArguments,
}

pub(super) async fn plan(
    session: &Session,
    arguments: &PlanArguments,
) -> Result<ExitStatus, RunError> {
    show(session, &arguments.selection).await
}

/// Shows what a run of the selection would do.
pub(super) async fn show(
    session: &Session,
    selection: &SelectionArguments,
) -> Result<ExitStatus, RunError> {
    let selection = selection.selection(session)?;
    let preview = session.runner().preview(&selection).await?;
    match session.global.output {
        Form::Json => report::json(session.printer, &preview)?,
        Form::Text => text(session, &preview),
    }
    Ok(ExitStatus::Success)
}

fn text(session: &Session, preview: &Preview) {
    let printer = session.printer;
    printer.data(format_args!(
        "{}: {} ({})",
        preview.pipeline, preview.mode, preview.reason
    ));
    printer.data("\nreads");
    for source in &preview.sources {
        printer.data(format_args!(
            "  {}  {}  {}",
            source.table, source.kind, source.reads
        ));
        let about = if source.exact { "" } else { "about " };
        let mut parts = Vec::new();
        parts.extend(
            source
                .items
                .map(|items| format!("{about}{}", count(items, "item"))),
        );
        parts.extend(
            source
                .rows
                .map(|rows| format!("{about}{}", count(rows, "row"))),
        );
        parts.extend(source.bytes.map(bytes));
        let size = if parts.is_empty() {
            String::from("size not known")
        } else {
            parts.join(", ")
        };
        printer.data(format_args!("    {size}  (from {})", source.estimate_from));
        if !source.left_out.is_empty() {
            printer.data(format_args!("    not read: {}", source.left_out.join(", ")));
        }
    }
    printer.data("\nsteps");
    for step in &preview.steps {
        printer.data(format_args!("  {}", step.name));
        for line in step.plan.lines() {
            let line: String = line.chars().take(160).collect();
            printer.data(format_args!("    {line}"));
        }
    }
    printer.data("\nwrites");
    for output in &preview.outputs {
        printer.data(format_args!("  {}  {}", output.name, output.location));
        printer.data(format_args!(
            "    publish {} by partitions ({})",
            output.publish,
            output.partition_by.join(", ")
        ));
        printer.data(format_args!("    now: {}", output.now));
        printer.data(format_args!("    a run {}", output.effect));
    }
    printer.data(format_args!(
        "\nmemory  {} ({:?})",
        bytes(preview.settings.memory.value),
        preview.settings.memory.origin
    ));
    printer.say("nothing was written; run it with: pipelines run …");
}
