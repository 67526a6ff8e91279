//! Runs every `slt/*.slt` file as one test, each in a session of its own with all functions registered.
//!
//! Values are written as DataFusion's own sqllogictest driver writes them. `cargo test -p udfs --test slt
//! week` runs the files whose name contains `week`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use datafusion::prelude::SessionContext;
use datafusion_sqllogictest::{
    DataFusion, df_value_validator, read_dir_recursive, value_normalizer,
};
use indicatif::ProgressBar;
use libtest_mimic::{Arguments, Failed, Trial};
use sqllogictest::strict_column_validator;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut files = read_dir_recursive(&folder)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    if files.is_empty() {
        return Err(format!("no .slt file in {}", folder.display()).into());
    }
    let trials = files
        .into_iter()
        .map(|file| {
            let name = file
                .strip_prefix(&folder)
                .unwrap_or(&file)
                .display()
                .to_string();
            Trial::test(name, move || run_file(&file))
        })
        .collect();
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn run_file(file: &PathBuf) -> Result<(), Failed> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the functions are tested without the engine, which depends on them"
    )]
    let mut context = SessionContext::new();
    udfs::register_all(&mut context)?;

    let mut runner = sqllogictest::Runner::new(|| async {
        Ok(DataFusion::new(
            context.clone(),
            file.clone(),
            ProgressBar::hidden(),
        ))
    });
    runner.with_column_validator(strict_column_validator);
    runner.with_normalizer(value_normalizer);
    runner.with_validator(df_value_validator);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(runner.run_file_async(file))
        .map_err(|error| Failed::from(error.display(false)))
}
