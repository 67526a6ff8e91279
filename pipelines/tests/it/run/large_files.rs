//! Files that are large for one task.

use std::fmt::Write;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use testkit::Folder;

use super::cluster::on_cluster;

/// How many rows and files a table has, and the sum of its column `id`.
fn summed(folder: &std::path::Path) -> anyhow::Result<(usize, i64, usize)> {
    let (mut rows, mut sum, mut files) = (0, 0, 0);
    for (_, content) in Folder::of(folder)?.files() {
        files += 1;
        let content = bytes::Bytes::copy_from_slice(content);
        for batch in ParquetRecordBatchReaderBuilder::try_new(content)?.build()? {
            let batch = batch?;
            rows += batch.num_rows();
            let ids = batch.column(0).as_primitive::<Int64Type>();
            sum += ids.values().iter().sum::<i64>();
        }
    }
    Ok((rows, sum, files))
}

#[test]
fn a_large_text_file_is_read_by_several_tasks() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    let (rows, wide) = (45_000, "x".repeat(1000));
    for (kind, end) in [("JSON", "}\n"), ("CSV", "\n")] {
        let mut text = String::from(if kind == "CSV" { "id,t\n" } else { "" });
        for id in 0..rows {
            match kind {
                "CSV" => write!(text, "{id},\"{wide}\n\"{end}")?,
                _ => write!(text, "{{\"id\":{id},\"t\":\"{wide}\"{end}")?,
            }
        }
        let name = format!("in/{kind}.{}", kind.to_lowercase());
        workspace.write(&name, &text)?;
        let table = format!("{kind}-table");
        workspace.write(
            "p.sql",
            &format!(
                "CREATE EXTERNAL TABLE a STORED AS {kind} LOCATION '{name}';
                 COPY (SELECT id, length(t) AS length FROM a) TO '{table}/';"
            ),
        )?;
        let run = workspace.run(["run", "p.sql", "--mode", "cluster"])?;
        assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
        let (found, sum, files) = summed(&workspace.path().join(&table))?;
        assert_eq!((found, sum), (45_000, 45_000 * 44_999 / 2));
        // Rows do not travel: who has read some has written them.
        assert!(files > 1, "{files} file: {}{}", run.all(), cluster.said());
    }
    Ok(())
}
