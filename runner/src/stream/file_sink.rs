//! One file as a sink. Owns which format and compression a name says, and that encoding has a thread of its own; how the file comes
//! to be there whole or not at all is `tables`'.

use std::path::{Path, PathBuf};

use datafusion::arrow::datatypes::SchemaRef;
use tables::{Compression, FileWriter, Format, WrittenFile};

use super::chunk::Chunk;
use super::error::Cause;
use super::sink::Sink;

/// One file of CSV, JSON lines, Parquet, Arrow or Avro on this machine.
///
/// The rows go into a hidden file beside it, which takes its name when the stream has come to its end; a file that was there
/// stays until then. Columns are those of the first chunk.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    format: Option<Format>,
    compression: Option<Compression>,
    columns: Option<SchemaRef>,
    writer: Option<FileWriter>,
}

impl FileSink {
    /// A file of the format, and compressed, as the suffixes of its name say: `orders.csv`, `orders.jsonl.gz`,
    /// `orders.parquet`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            compression: None,
            columns: None,
            writer: None,
        }
    }

    /// Of this format, whatever its name.
    #[must_use]
    pub fn format(self, format: Format) -> Self {
        Self {
            format: Some(format),
            ..self
        }
    }

    /// Compressed so, whatever its name.
    #[must_use]
    pub fn compression(self, compression: Compression) -> Self {
        Self {
            compression: Some(compression),
            ..self
        }
    }

    /// Of these columns, also if no chunk comes to say them. Then the stages left out every chunk; an empty source gives one
    /// without rows.
    #[must_use]
    pub fn columns(self, columns: SchemaRef) -> Self {
        Self {
            columns: Some(columns),
            ..self
        }
    }

    /// What begins the file, once its columns are known.
    fn begin(&self) -> Result<impl FnOnce(SchemaRef) -> Result<FileWriter, Cause> + use<>, Cause> {
        let name = self.path.to_string_lossy();
        if name.contains("://") {
            return Err(format!("{name} is a URL, and a stream writes files of this machine: a pipeline writes tables to object stores").into());
        }
        let said = Format::of_file_name(&name);
        let Some(format) = self.format.or(said.map(|(format, _)| format)) else {
            let names = Format::NAMES.map(|(name, _)| name).join(", ");
            return Err(format!("the name {name} says no format that is written; say one of {names} with `FileSink::format`").into());
        };
        let of_name = said.filter(|(said, _)| *said == format);
        let of_name = of_name.map(|(_, compression)| compression);
        let compression = self.compression.or(of_name);
        let compression = compression.unwrap_or_else(|| format.default_compression());
        let path = self.path.clone();
        Ok(move |columns: SchemaRef| Ok(FileWriter::create(&path, &columns, format, compression)?))
    }
}

/// Where work that waits for the disk is done.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Cause> + Send + 'static,
) -> Result<T, Cause> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(error.into()),
    }
}

impl Sink for FileSink {
    type Output = WrittenFile;

    fn describe(&self) -> String {
        Path::display(&self.path).to_string()
    }

    async fn write(&mut self, chunk: Chunk) -> Result<(), Cause> {
        let (begun, begin) = (self.writer.take(), self.begin()?);
        let columns = self.columns.clone();
        let written = apart(move || {
            let mut writer = match begun {
                Some(writer) => writer,
                None => begin(columns.unwrap_or_else(|| chunk.batch.schema()))?,
            };
            writer.write(&chunk.batch)?;
            Ok(writer)
        });
        self.writer = Some(written.await?);
        Ok(())
    }

    async fn finish(mut self) -> Result<WrittenFile, Cause> {
        let (begun, begin) = (self.writer.take(), self.begin()?);
        let columns = self.columns.clone();
        apart(move || {
            let writer = match (begun, columns) {
                (Some(writer), _) => writer,
                (None, Some(columns)) => begin(columns)?,
                (None, None) => {
                    return Err("no chunk came, so that nothing says its columns; say them with `FileSink::columns`".into());
                }
            };
            Ok(writer.finish()?)
        })
        .await
    }
}
