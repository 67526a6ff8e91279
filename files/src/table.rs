//! Files as a table. Owns its columns (those of files, then those of partitions), which files a query needs, and how many
//! partitions its plan has.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::bad_rows::{BadRows, Quarantine};
use super::decode::{HEADER_HELP, Wanted};
use super::dialect;
use super::error::ReadError;
use super::format::{Bytes, Format};
use super::guard::{GaveUp, guarded};
use super::listing::File;
use super::origin::Origin;
use super::partitions::Partitions;
use super::rows;
use super::sample::{self, Look, Sample};
use super::scan::{FileScanExec, Scan};
use super::slice::{Cut, deal};
use super::stores::Stores;
use super::text;
use super::unite::{self, Fit, no_file_has};

/// A file of this size is worth a partition of its own, bytes.
const WORTH_A_PARTITION: u64 = 256 << 10;

/// What is declared of a table of files.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The location, for people.
    pub location: String,
    /// The columns, partition columns included; `None` to find them in the data.
    pub columns: Option<SchemaRef>,
    /// The partition columns.
    pub partition_by: Vec<String>,
    /// How records are written.
    pub format: Format,
    /// What is said of the bytes.
    pub bytes: Bytes,
    /// Bytes to look at.
    pub sample_bytes: u64,
    /// How many bad rows are put aside; `None` for none, where the first one is an error.
    pub quarantine: Option<Quarantine>,
    /// The columns that say where a row is from.
    pub origin: Origin,
}

/// See the module.
#[derive(Debug)]
pub struct FilesTable {
    location: String,
    files: Vec<File>,
    bytes: Bytes,
    format: Format,
    in_files: SchemaRef,
    inferred: bool,
    partitions: Partitions,
    schema: SchemaRef,
    origin: Origin,
    bad_rows: Option<Arc<BadRows>>,
}

impl FilesTable {
    /// The table of these files, which are looked at first.
    ///
    /// # Errors
    /// [`ReadError`] when they cannot be read as declared, or lack a declared column.
    pub async fn open(declared: Declared, files: Vec<File>, stores: Stores) -> Result<Self> {
        let partitions = Partitions::new(&declared.partition_by, declared.columns.as_deref());
        let mut looking = Looking {
            declared: declared.clone(),
            files: files.clone(),
            stores,
            partitions: partitions.clone(),
        };
        let looked = tokio::task::spawn_blocking(move || guarded(|| looking.look())).await;
        let looked = looked.unwrap_or(Err(GaveUp));
        let (format, in_files, inferred) = looked.map_err(|GaveUp| {
            ReadError::of_file(
                &declared.location,
                "a reader gave up: a file is damaged, or of a kind that is not known",
            )
        })??;
        let declared = Declared { format, ..declared };
        Self::of(declared, files, partitions, in_files, inferred)
    }

    /// The same without any file.
    #[must_use]
    pub fn emptied(self) -> Self {
        Self {
            files: Vec::new(),
            ..self
        }
    }

    /// The table of these files, whose columns are written down somewhere, so that they are not looked at before they are
    /// read. A column that a file lacks is NULL there.
    ///
    /// # Errors
    /// When a column that says where a row is from is in the data too.
    pub fn known(declared: Declared, columns: &Schema, files: Vec<File>) -> Result<Self> {
        let partitions = Partitions::new(&declared.partition_by, Some(columns));
        let in_files = partitions.without(columns);
        Self::of(declared, files, partitions, in_files, false)
    }

    fn of(
        declared: Declared,
        files: Vec<File>,
        partitions: Partitions,
        in_files: Schema,
        inferred: bool,
    ) -> Result<Self> {
        let schema = partitions.behind(&in_files);
        let schema = declared.origin.behind(&declared.location, &schema)?;
        let quarantine = declared.quarantine;
        Ok(Self {
            bad_rows: quarantine.map(|limits| Arc::new(BadRows::new(&declared.location, limits))),
            location: declared.location,
            files,
            bytes: declared.bytes,
            format: declared.format,
            in_files: Arc::new(in_files),
            inferred,
            partitions,
            schema: Arc::new(schema),
            origin: declared.origin,
        })
    }

    /// The bad rows that queries met, if they are put aside.
    pub fn bad_rows(&self) -> Option<&Arc<BadRows>> {
        self.bad_rows.as_ref()
    }
}

/// A look at files, on a thread that may wait.
struct Looking {
    declared: Declared,
    files: Vec<File>,
    stores: Stores,
    partitions: Partitions,
}

impl Looking {
    /// How records are written, the columns that files have, and whether their types were found in the data.
    fn look(&mut self) -> Result<(Format, Schema, bool)> {
        if let Format::Csv(csv) = &self.declared.format {
            let found = dialect::find(csv, &self.declared.bytes, &self.files, &self.stores)?;
            self.declared.format = Format::Csv(found);
        }
        let (columns, inferred) = self.columns()?;
        Ok((self.declared.format.clone(), columns, inferred))
    }

    /// The columns that files have, and whether their types were found in the data.
    fn columns(&self) -> Result<(Schema, bool)> {
        match self.declared.format {
            Format::Arrow | Format::Avro | Format::Binary(_) => self.said(),
            Format::Text => Ok((self.lines()?, false)),
            _ => self.seen(),
        }
    }

    /// Of files that say what columns they have.
    fn said(&self) -> Result<(Schema, bool)> {
        let declared = self.declared.columns.as_deref();
        let schemas: std::result::Result<Vec<(&str, SchemaRef)>, ReadError> = self
            .files
            .iter()
            .map(|file| {
                let store = self.stores.get(file);
                let Declared { format, bytes, .. } = &self.declared;
                let schema = rows::schema_of(file, store, format, bytes, declared)?;
                Ok((file.name.as_str(), schema))
            })
            .collect();
        let schemas = schemas?;
        let schemas = schemas
            .iter()
            .map(|(file, schema)| (*file, schema.as_ref()));
        let location = &self.declared.location;
        let fit = match self.declared.format {
            Format::Avro => Fit::Value,
            _ => Fit::Type,
        };
        let columns = unite::columns(location, declared, &self.partitions, &schemas, fit)?;
        Ok((columns, false))
    }

    /// Of files of lines, which have one.
    fn lines(&self) -> std::result::Result<Schema, ReadError> {
        let declared = self.declared.columns.as_deref();
        let of_files = declared.map(|columns| self.partitions.without(columns));
        let columns = text::columns(&self.declared.location, of_files)?;
        let names = columns.fields().iter().map(|field| field.name().as_str());
        self.partitions
            .check_names(&self.declared.location, names)?;
        Ok(columns)
    }

    /// Of files whose records have to be looked at.
    fn seen(&self) -> Result<(Schema, bool)> {
        let Declared {
            format,
            bytes,
            sample_bytes,
            ..
        } = &self.declared;
        let sample = sample::look(
            &self.files,
            &self.stores,
            Look {
                format,
                bytes,
                most: *sample_bytes,
                lenient: self.declared.quarantine.is_some(),
            },
        )?;
        self.partitions
            .check_names(&self.declared.location, sample.names())?;
        let Some(columns) = &self.declared.columns else {
            return Ok((self.partitions.without(&Schema::new(sample.fields())), true));
        };
        let of_files = self.partitions.without(columns);
        check_columns(&self.declared, &of_files, &sample, self.files.is_empty())?;
        Ok((of_files, false))
    }
}

/// Every declared column is in some file, as far as that was looked at.
fn check_columns(
    declared: &Declared,
    of_files: &Schema,
    sample: &Sample,
    nothing: bool,
) -> Result<()> {
    let by_position =
        matches!(&declared.format, Format::Csv(csv) if csv.by_position || !csv.dialect.header);
    // Keys of JSON may come late; that a header lacks a column is known.
    let is_known = sample.whole || matches!(declared.format, Format::Csv(_));
    if nothing
        || by_position
        || !is_known
        || sample.records == 0 && matches!(declared.format, Format::Json(_))
    {
        return Ok(());
    }
    let any_case = matches!(declared.format, Format::Csv(_));
    let Some(missing) = sample::missing(of_files, sample, any_case) else {
        return Ok(());
    };
    let problem = no_file_has(&declared.location, missing.name(), sample.names());
    Err(DataFusionError::from(match declared.format {
        Format::Csv(_) => problem.with_help(HEADER_HELP),
        _ => problem.with_help("columns are the keys of the objects"),
    }))
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(self
            .partitions
            .supports(filters, &TableProviderFilterPushDown::Unsupported))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let needed = self.partitions.needed(state, filters, &self.files.iter())?;
        let files = self.files.iter().zip(needed);
        let files = files.filter(|(_, needed)| *needed);
        let files: Vec<File> = files.map(|(file, _)| file.clone()).collect();
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        let worth = WORTH_A_PARTITION.min(self.bytes.part_bytes.max(1) as u64);
        let most = usize::try_from(bytes / worth).unwrap_or(usize::MAX).max(1);
        let partitions = state.config().target_partitions().min(most);
        let all = || (0..self.schema.fields().len()).collect();
        let scan = Scan {
            location: self.location.clone(),
            bytes: self.bytes.clone(),
            wanted: Wanted {
                format: self.format.clone(),
                in_files: Arc::clone(&self.in_files),
                inferred: self.inferred,
                partition_by: self.partitions.fields().clone(),
                projection: projection.cloned().unwrap_or_else(all),
                all_columns: self.bad_rows.is_some(),
                origin: self.origin.clone(),
            },
            shared: Some(files.clone()),
            limit,
            bad_rows: self.bad_rows.clone(),
            only_bad: false,
        };
        let cut = Cut {
            format: &self.format,
            part_bytes: self.bytes.part_bytes,
            lines: scan.wanted.has_lines(),
        };
        // Of a file with bad rows, who asks for them reads all of it.
        let cut = scan.bad_rows.is_none().then_some(cut);
        let exec = FileScanExec::new(scan, &deal(files, partitions, cut))?;
        Ok(Arc::new(exec))
    }
}
