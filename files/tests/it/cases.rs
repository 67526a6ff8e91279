//! Reading files in every way in which a plan may: by one stream and by several, in parts of any size, by operators that were
//! sent. The rows have to be the same.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect, collect_partitioned};
use datafusion::prelude::{SessionConfig, SessionContext};
use files::json::Path;
use files::listing::{Wanted, list};
use files::{
    BadRow, Binary, Bytes, Csv, Declared, FilesTable, Format, Json, Origin, Quarantine, ReadError,
    SAMPLE_BYTES, Stores,
};
use tokio::runtime::Runtime;

/// Files and what is said of them.
pub(crate) struct Case {
    folder: tempfile::TempDir,
    format: Format,
    columns: Option<SchemaRef>,
    partition_by: Vec<String>,
    bytes: Bytes,
    sample_bytes: u64,
    memory: usize,
    quarantine: Option<Quarantine>,
    origin: Origin,
}

/// Sizes of parts: from the least to more than all of a file.
const PARTS: [usize; 4] = [1, 7, 100, 1 << 20];

impl Case {
    fn of(format: Format, files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Self {
            folder,
            format,
            columns: None,
            partition_by: Vec::new(),
            bytes: Bytes::default(),
            sample_bytes: SAMPLE_BYTES,
            memory: 1 << 30,
            quarantine: None,
            origin: Origin::default(),
        }
    }

    pub(crate) fn csv(files: &[(&str, &[u8])]) -> Self {
        Self::of(Format::Csv(Csv::default()), files)
    }

    pub(crate) fn json(files: &[(&str, &[u8])]) -> Self {
        Self::of(Format::Json(Json::default()), files)
    }

    /// The items of the lists at a path of documents.
    pub(crate) fn json_path(files: &[(&str, &[u8])], path: &str) -> Self {
        let json = Json {
            path: Some(Path::parse(path).unwrap()),
            ..Json::default()
        };
        Self::of(Format::Json(json), files)
    }

    pub(crate) fn text(files: &[(&str, &[u8])]) -> Self {
        Self::of(Format::Text, files)
    }

    /// In values of so many bytes.
    pub(crate) fn binary(files: &[(&str, &[u8])], chunk_bytes: Option<u64>) -> Self {
        let binary = Binary {
            chunk_bytes,
            ..Binary::default()
        };
        Self::of(Format::Binary(binary), files)
    }

    pub(crate) fn avro(files: &[(&str, &[u8])]) -> Self {
        Self::of(Format::Avro, files)
    }

    pub(crate) fn arrow(files: &[(&str, &[u8])]) -> Self {
        Self::of(Format::Arrow, files)
    }

    pub(crate) fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    pub(crate) fn with_csv(mut self, csv: Csv) -> Self {
        self.format = Format::Csv(csv);
        self
    }

    pub(crate) fn columns(mut self, columns: &[(&str, DataType)]) -> Self {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
            .collect();
        self.columns = Some(Arc::new(Schema::new(fields)));
        self
    }

    pub(crate) fn partition_by(mut self, columns: &[&str]) -> Self {
        self.partition_by = columns.iter().map(|&name| name.to_owned()).collect();
        self
    }

    pub(crate) fn encoding(mut self, label: &str) -> Self {
        self.bytes.encoding = Some(label.to_owned());
        self
    }

    pub(crate) fn quarantine(mut self, most_rows: u64) -> Self {
        self.quarantine = Some(Quarantine {
            most_rows,
            most_share: None,
        });
        self
    }

    /// With the columns `_file` and `_line`.
    pub(crate) fn origin(mut self) -> Self {
        self.origin = Origin {
            file: Some("_file".to_owned()),
            line: Some("_line".to_owned()),
        };
        self
    }

    /// Looks at so little that types are not found.
    pub(crate) fn sample(mut self, bytes: u64) -> Self {
        self.sample_bytes = bytes;
        self
    }

    /// With records of so many bytes at most while files are looked at.
    pub(crate) fn longest_record(mut self, bytes: usize) -> Self {
        self.bytes.longest_record = bytes;
        self
    }

    /// With so much memory for queries.
    pub(crate) fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    async fn table(&self, part_bytes: usize) -> Result<FilesTable> {
        let location = self.folder.path().display().to_string();
        let wanted = Wanted {
            location: &location,
            suffixes: self.format.suffixes(),
            partition_by: &self.partition_by,
        };
        let listing = list(wanted, &|url| {
            Err(DataFusionError::Internal(format!("no store for {url}")))
        });
        let declared = Declared {
            location: location.clone(),
            columns: self.columns.clone(),
            partition_by: self.partition_by.clone(),
            format: self.format.clone(),
            bytes: Bytes {
                part_bytes,
                ..self.bytes.clone()
            },
            sample_bytes: self.sample_bytes,
            quarantine: self.quarantine,
            origin: self.origin.clone(),
        };
        FilesTable::open(declared, listing.await?.files, Stores::default()).await
    }

    async fn rows(
        &self,
        part_bytes: usize,
        partitions: usize,
        sent: bool,
        query: &str,
    ) -> Result<Vec<RecordBatch>> {
        let config = SessionConfig::new()
            .with_target_partitions(partitions)
            .with_batch_size(3);
        let pool = Arc::new(FairSpillPool::new(self.memory));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(pool)
            .build_arc()?;
        let ctx = SessionContext::new_with_config_rt(config, runtime);
        ctx.register_table("t", Arc::new(self.table(part_bytes).await?))?;
        let plan = ctx.sql(query).await?.create_physical_plan().await?;
        let plan = match sent {
            true => as_sent(plan)?,
            false => plan,
        };
        collect(plan, ctx.task_ctx()).await
    }

    /// The rows of a query over `t`, sorted as texts, whichever way they are read; or the message.
    pub(crate) fn read(&self, query: &str) -> Result<Vec<String>, String> {
        let runtime = Runtime::new().unwrap();
        let mut known: Option<Result<Vec<String>, String>> = None;
        for part_bytes in PARTS {
            for (partitions, sent) in [
                (1, false),
                (2, false),
                (8, false),
                (1, true),
                (2, true),
                (8, true),
            ] {
                let rows = runtime.block_on(self.rows(part_bytes, partitions, sent, query));
                let rows = match rows {
                    Ok(batches) => Ok(lines(&batches)),
                    Err(error) => Err(self.message(&error)),
                };
                match &known {
                    None => known = Some(rows),
                    Some(known) => assert_eq!(
                        *known, rows,
                        "in parts of {part_bytes} bytes by {partitions} streams, sent: {sent}"
                    ),
                }
            }
        }
        known.unwrap()
    }

    /// The rows of a query over `t`, or that it is an error, in every way in which executors read.
    pub(crate) fn read_or_not(&self, query: &str) {
        let runtime = Runtime::new().unwrap();
        let known = runtime.block_on(self.rows(1 << 20, 1, false, query));
        let known = known.map(|batches| lines(&batches));
        for part_bytes in [1, 3] {
            for partitions in [2, 8] {
                let rows = runtime.block_on(self.rows(part_bytes, partitions, true, query));
                match (&known, rows) {
                    (Ok(known), Ok(rows)) => assert_eq!(*known, lines(&rows)),
                    (known, rows) => assert!(known.is_err() && rows.is_err(), "{known:?} {rows:?}"),
                }
            }
        }
    }

    /// How many rows each partition of a plan has that executors read.
    pub(crate) fn rows_of_partitions(&self, part_bytes: usize, partitions: usize) -> Vec<usize> {
        let runtime = Runtime::new().unwrap();
        let read = async {
            let config = SessionConfig::new().with_target_partitions(partitions);
            let ctx = SessionContext::new_with_config(config);
            ctx.register_table("t", Arc::new(self.table(part_bytes).await?))?;
            let plan = ctx
                .sql("SELECT * FROM t")
                .await?
                .create_physical_plan()
                .await?;
            let rows = collect_partitioned(as_sent(plan)?, ctx.task_ctx()).await?;
            let count =
                |batches: &Vec<RecordBatch>| batches.iter().map(RecordBatch::num_rows).sum();
            Ok::<_, DataFusionError>(rows.iter().map(count).collect())
        };
        runtime.block_on(read).unwrap()
    }

    /// The rows of a query over `t`, and what was put aside of it, in every way of reading; or the message.
    pub(crate) fn put_aside(&self, query: &str) -> Result<(Vec<String>, Vec<BadRow>), String> {
        let runtime = Runtime::new().unwrap();
        let mut known = None;
        for part_bytes in PARTS {
            for (partitions, sent) in [(1, false), (2, false), (8, false), (2, true)] {
                let read = runtime.block_on(self.rows_and_bad(part_bytes, partitions, sent, query));
                let read = read.map_err(|error| self.message(&error));
                match &known {
                    None => known = Some(read),
                    Some(known) => assert_eq!(
                        *known, read,
                        "in parts of {part_bytes} bytes by {partitions} streams, sent: {sent}"
                    ),
                }
            }
        }
        known.unwrap()
    }

    /// As [`Case::put_aside`], in one way of reading.
    pub(crate) fn put_aside_once(&self, query: &str) -> Result<(Vec<String>, Vec<BadRow>), String> {
        let runtime = Runtime::new().unwrap();
        let read = runtime.block_on(self.rows_and_bad(1 << 20, 1, false, query));
        read.map_err(|error| self.message(&error))
    }

    /// As [`Case::put_aside`]; nothing if that is an error, in every way of reading.
    pub(crate) fn put_aside_or_not(&self, query: &str) -> Option<(Vec<String>, Vec<BadRow>)> {
        let runtime = Runtime::new().unwrap();
        let mut known = None;
        for part_bytes in [1, 5, 1 << 20] {
            for (partitions, sent) in [(1, false), (3, true)] {
                let read = runtime.block_on(self.rows_and_bad(part_bytes, partitions, sent, query));
                let read = read.map_err(|error| self.message(&error));
                match &known {
                    None => known = Some(read),
                    Some(known) => assert!(
                        *known == read || known.is_err() && read.is_err(),
                        "in parts of {part_bytes} bytes by {partitions} streams, sent: {sent}: {known:?} {read:?}"
                    ),
                }
            }
        }
        known.unwrap().ok()
    }

    async fn rows_and_bad(
        &self,
        part_bytes: usize,
        partitions: usize,
        sent: bool,
        query: &str,
    ) -> Result<(Vec<String>, Vec<BadRow>)> {
        let config = SessionConfig::new()
            .with_target_partitions(partitions)
            .with_batch_size(3);
        let ctx = SessionContext::new_with_config(config);
        let table = self.table(part_bytes).await?;
        let bad = Arc::clone(table.bad_rows().unwrap());
        ctx.register_table("t", Arc::new(table))?;
        let plan = ctx.sql(query).await?.create_physical_plan().await?;
        // Twice: what is read again is not put aside again.
        let mut rows = Vec::new();
        for _ in 0..2 {
            let plan = match sent {
                true => as_sent(Arc::clone(&plan))?,
                false => reset_plan_states(Arc::clone(&plan))?,
            };
            rows = collect(plan, ctx.task_ctx()).await?;
        }
        if sent {
            assert!(!bad.was_read(), "executors have their own");
            for scan in files::bad_row_scans(plan.as_ref())? {
                let plan = as_sent(Arc::clone(&scan.plan))?;
                scan.take(&collect(plan, ctx.task_ctx()).await?)?;
            }
            assert!(files::bad_row_scans(plan.as_ref())?.is_empty());
            assert_eq!(files::good_rows(plan.as_ref()), bad.good());
        }
        let folder = format!("{}/", self.folder.path().display());
        let mut bad_rows = bad.rows();
        for row in &mut bad_rows {
            row.file = row.file.replace(&folder, "");
        }
        assert!(!query.starts_with("SELECT *") || bad.good() == lines(&rows).len() as u64);
        Ok((lines(&rows), bad_rows))
    }

    /// All rows and columns in several ways, parts of so many bytes at least; nothing if that is an error in each.
    pub(crate) fn all_or_not(&self, least: usize) -> Option<Vec<String>> {
        static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
        let mut known = None;
        for part_bytes in [least, least + 4, 1 << 20] {
            for (partitions, sent) in [(1, false), (3, true)] {
                let rows = self.rows(part_bytes, partitions, sent, "SELECT * FROM t");
                let rows = RUNTIME.block_on(rows);
                let rows = rows
                    .map(|batches| lines(&batches))
                    .map_err(|error| self.message(&error));
                match &known {
                    None => known = Some(rows),
                    Some(known) => assert!(
                        *known == rows || known.is_err() && rows.is_err(),
                        "in parts of {part_bytes} bytes by {partitions} streams, sent: {sent}: {known:?} {rows:?}"
                    ),
                }
            }
        }
        known.unwrap().ok()
    }

    /// All rows and columns, read in one way; whatever the error.
    pub(crate) fn all_once(&self) -> Result<Vec<RecordBatch>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(self.rows(1 << 20, 1, false, "SELECT * FROM t"))
    }

    /// All rows and columns, read in one way, or the message.
    pub(crate) fn once(&self) -> Result<Vec<String>, String> {
        self.once_of("SELECT * FROM t")
    }

    /// The rows of a query over `t`, sorted as texts and read in one way, or the message.
    pub(crate) fn once_of(&self, query: &str) -> Result<Vec<String>, String> {
        let runtime = Runtime::new().unwrap();
        let rows = runtime.block_on(self.rows(1 << 20, 2, false, query));
        rows.map(|batches| lines(&batches))
            .map_err(|error| self.message(&error))
    }

    /// All rows and columns.
    pub(crate) fn all(&self) -> Result<Vec<String>, String> {
        self.read("SELECT * FROM t")
    }

    /// Rows without the folder in names of files.
    pub(crate) fn without_folder(&self, rows: Vec<String>) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let mut rows: Vec<String> = rows
            .into_iter()
            .map(|row| row.replace(&folder, ""))
            .collect();
        rows.sort();
        rows
    }

    /// The types of the columns.
    pub(crate) fn types(&self) -> Vec<(String, DataType)> {
        use datafusion::catalog::TableProvider;
        let runtime = Runtime::new().unwrap();
        let table = runtime.block_on(self.table(1 << 20)).unwrap();
        let schema = table.schema();
        let fields = schema.fields().iter();
        fields
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    }

    fn message(&self, error: &DataFusionError) -> String {
        let read = tables::causes(error).find_map(|cause| cause.downcast_ref::<ReadError>());
        let message = read
            .unwrap_or_else(|| panic!("no error of reading: {error}"))
            .to_string();
        message.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

/// The plan with its scans as executors get them.
pub(crate) fn as_sent(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        Ok(match files::encode_operator(node.as_ref())? {
            Some(bytes) => {
                let inputs: Vec<_> = node.children().into_iter().cloned().collect();
                Transformed::yes(files::decode_operator(&bytes, &inputs)?)
            }
            None => Transformed::no(node),
        })
    })
    .data()
}

/// Each row as a line, with `|` between values and nothing for NULL in angle brackets.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("<null>");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            lines.push(values.join("|"));
        }
    }
    lines.sort();
    lines
}
