//! The options of formats. Owns their tables, and the way from what is said to what a scan is told.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use files::csv::Detect;
use files::json::{Layout, Path};
use files::{Binary, Bytes, Compression, Csv, Format, Json, Origin, Quarantine, SAMPLE_BYTES};

use super::quarantine;
use crate::option::{self, Given, OptionProblem, OptionSpec, OptionValue, Parser};
use crate::source::Declared;

const INCREMENTAL: &str = "incremental";

/// What is said of files of a format.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) format: Format,
    pub(super) bytes: Bytes,
    pub(super) sample_bytes: u64,
    pub(super) quarantine: Option<Quarantine>,
    pub(super) origin: Origin,
}

fn spec(name: &str, parser: Parser, default: Option<&str>, doc: &str) -> OptionSpec {
    OptionSpec {
        name: name.to_owned(),
        parser,
        required: false,
        secret: false,
        default: default.map(str::to_owned),
        doc: doc.to_owned(),
    }
}

/// The options of a format that is not DataFusion's.
pub(super) fn of(kind: &str) -> Vec<OptionSpec> {
    let mut options = match kind {
        "CSV" => csv(),
        "JSON" => json(),
        "TEXT" => vec![compression(), encoding(), file_column()],
        "BINARY" => vec![chunk_bytes()],
        _ => vec![compression(), file_column()],
    };
    options.push(incremental());
    options
}

/// Of every format.
pub(super) fn incremental() -> OptionSpec {
    spec(
        INCREMENTAL,
        Parser::Choice(vec!["files".to_owned()]),
        None,
        "`files`: a run reads only files that are new or changed since the pipeline last committed; the list is in the commits of its output",
    )
}

/// Whether a run reads only new files.
pub(super) fn is_incremental(declared: &Declared) -> bool {
    plain(declared).contains_key(INCREMENTAL)
}

/// What is wrong with that option, where others are not ours to check.
pub(super) fn check_incremental(declared: &Declared) -> Vec<OptionProblem> {
    let given = |name: &String| short(name) == INCREMENTAL;
    let only = declared.options.iter().filter(|(name, _)| given(name));
    let only: Given = only
        .map(|(name, value)| (short(name).to_owned(), value.clone()))
        .collect();
    option::check(&[incremental()], &only)
}

/// What is said to the engine.
pub(super) fn of_engine(mut plain: Plain) -> Plain {
    plain.remove(INCREMENTAL);
    plain
}

/// What is said of files of such a format.
pub(super) fn said(kind: &str, plain: &Plain) -> Result<Said, OptionProblem> {
    let (bytes, sample_bytes) = of_bytes(plain)?;
    let format = match kind {
        "CSV" => Format::Csv(of_csv(plain)?),
        "JSON" => Format::Json(of_json(plain)?),
        "TEXT" => Format::Text,
        "AVRO" => Format::Avro,
        "BINARY" => Format::Binary(of_binary(plain)?),
        _ => Format::Arrow,
    };
    let quarantine = match &format {
        Format::Csv(_) | Format::Json(_) => quarantine::of(plain)?,
        _ => None,
    };
    if quarantine.is_some() && matches!(&format, Format::Json(json) if json.path.is_some()) {
        let problem =
            "cannot be `quarantine` with `path`: what is no item may be why one cannot be read";
        return Err(OptionProblem::new("on_error", problem, None));
    }
    Ok(Said {
        format,
        bytes,
        sample_bytes,
        quarantine,
        origin: of_origin(plain),
    })
}

fn compression() -> OptionSpec {
    let known = Compression::NAMES.iter().map(|(name, _)| *name);
    let words = known.chain(["uncompressed"]).map(str::to_owned);
    spec(
        "compression",
        Parser::Choice(words.collect()),
        Some("as the bytes of each file say"),
        "what files are compressed with",
    )
}

fn chunk_bytes() -> OptionSpec {
    spec(
        "chunk_bytes",
        Parser::Word,
        Some("a row per file"),
        "bytes of a row, as `1MiB`; the last one of a file may have fewer",
    )
}

fn encoding() -> OptionSpec {
    spec(
        "encoding",
        Parser::Word,
        Some("utf-8, or as a byte order mark says"),
        "how files are encoded: a label such as `windows-1252`, `utf-16le`, `shift_jis`",
    )
}

/// The option with the name of the column that says the file.
pub(super) const FILE_COLUMN: &str = "file_column";

pub(super) fn file_column() -> OptionSpec {
    spec(
        FILE_COLUMN,
        Parser::Word,
        None,
        "the name of a column with the file that the row is from, such as `_file`",
    )
}

/// Which columns say where a row is from.
fn of_origin(plain: &Plain) -> Origin {
    Origin {
        file: plain.get(FILE_COLUMN).cloned(),
        line: plain.get("line_column").cloned(),
    }
}

/// The options that formats have whose columns are found in the data.
fn of_text() -> Vec<OptionSpec> {
    let mut options = vec![
        compression(),
        encoding(),
        spec(
            "sample_size",
            Parser::Word,
            Some("8MiB"),
            "how much is looked at to find columns and types",
        ),
    ];
    options.extend(quarantine::options());
    options.extend([
        file_column(),
        spec(
            "line_column",
            Parser::Word,
            None,
            "the name of a column with the line on which the record begins, such as `_line`",
        ),
    ]);
    options
}

/// The options of CSV.
fn csv() -> Vec<OptionSpec> {
    let mut options = vec![
        spec(
            "delimiter",
            Parser::Text,
            Some("`,`; a tab in files called `.tsv` or `.tab`, `|` in `.psv`"),
            "what is between fields: one character, or `\\t`",
        ),
        spec(
            "quote",
            Parser::Text,
            Some("\""),
            "what is around a field with delimiters in it; empty for nothing",
        ),
        spec(
            "escape",
            Parser::Text,
            None,
            "what is before a quote within quotes, if that is not a second quote",
        ),
        spec(
            "comment",
            Parser::Text,
            None,
            "what begins a line that is no record",
        ),
        spec(
            "has_header",
            Parser::Flag,
            Some("true"),
            "whether the first record names the columns",
        ),
        spec(
            "skip_rows",
            Parser::Count(u64::MAX),
            Some("0"),
            "lines before the first record",
        ),
        spec(
            "null",
            Parser::Text,
            None,
            "words that mean NULL, besides an empty field: `NA, -`",
        ),
        spec(
            "newlines_in_values",
            Parser::Flag,
            Some("true"),
            "whether fields in quotes may have line ends in them",
        ),
        spec(
            "dialect",
            Parser::Choice(vec!["detect".to_owned()]),
            None,
            "`detect` finds `delimiter`, `quote`, `has_header` and `skip_rows` in the files, those of them that are not given; `plan` shows what was found",
        ),
        spec(
            "by_position",
            Parser::Flag,
            Some("false"),
            "whether declared columns are fields by their place, not by name",
        ),
    ];
    options.extend(of_text());
    options
}

/// The options of JSON.
fn json() -> Vec<OptionSpec> {
    let mut options = vec![
        spec(
            "layout",
            Parser::Choice(["lines", "documents", "array"].map(str::to_owned).to_vec()),
            Some("as each file begins"),
            "objects on a line each, one after the other on any lines, or as the items of one array",
        ),
        spec(
            "newline_delimited",
            Parser::Flag,
            None,
            "`true` for layout `lines`, `false` for what the file is otherwise",
        ),
        spec(
            "path",
            Parser::Word,
            None,
            "where in each document the list is whose items are rows: `$.data.items`, `$.pages[*].items`, `$['a key']`",
        ),
    ];
    options.extend(of_text());
    options
}

/// The values that are known, by the names of options without `format.` in front.
pub(super) fn plain(declared: &Declared) -> BTreeMap<String, String> {
    let options = declared.options.iter();
    options
        .filter_map(|(name, value)| match value {
            Some(OptionValue::Plain(value)) => Some((short(name).to_owned(), value.clone())),
            _ => None,
        })
        .collect()
}

fn short(name: &str) -> &str {
    name.strip_prefix("format.").unwrap_or(name)
}

/// Everything wrong with what is said, by the name under which it is.
pub(super) fn check(
    options: &[OptionSpec],
    declared: &Declared,
    read: impl Fn(&BTreeMap<String, String>) -> Result<(), OptionProblem>,
) -> Vec<OptionProblem> {
    let given: Given = declared
        .options
        .iter()
        .map(|(name, value)| (short(name).to_owned(), value.clone()))
        .collect();
    let mut problems = option::check(options, &given);
    if problems.is_empty() {
        problems.extend(read(&plain(declared)).err());
    }
    for problem in &mut problems {
        let written = declared
            .options
            .keys()
            .find(|name| short(name) == problem.option);
        if let Some(written) = written {
            problem.option.clone_from(written);
        }
        match problem.option.as_str().trim_start_matches("format.") {
            "null_regex" | "null_value" | "nullstr" => problem.suggestion = Some("null".to_owned()),
            "schema_infer_max_rec" => problem.suggestion = Some("sample_size".to_owned()),
            "header" => problem.suggestion = Some("has_header".to_owned()),
            _ => {}
        }
    }
    problems
}

pub(super) type Plain = BTreeMap<String, String>;

fn flag(plain: &Plain, name: &str, default: bool) -> bool {
    plain
        .get(name)
        .map_or(default, |value| value.trim() == "true")
}

/// One character of ASCII; `None` for an empty text.
fn character(plain: &Plain, name: &str) -> Result<Option<Option<u8>>, OptionProblem> {
    let Some(text) = plain.get(name) else {
        return Ok(None);
    };
    match text.as_bytes() {
        [] => Ok(Some(None)),
        b"\\t" => Ok(Some(Some(b'\t'))),
        [byte] if !matches!(byte, b'\n' | b'\r') => Ok(Some(Some(*byte))),
        _ => Err(OptionProblem::new(
            name,
            format!("`{text}` is not one character of ASCII"),
            None,
        )),
    }
}

fn of_bytes(plain: &Plain) -> Result<(Bytes, u64), OptionProblem> {
    let compression = plain.get("compression").map(|word| {
        let known = Compression::NAMES.iter().find(|(name, _)| name == word);
        known.map(|(_, compression)| *compression)
    });
    if let Some(label) = plain.get("encoding")
        && files::encoding(label).is_none()
    {
        return Err(OptionProblem::new(
            "encoding",
            format!("`{label}` is no encoding"),
            None,
        ));
    }
    let sample_bytes = size(plain, "sample_size")?.unwrap_or(SAMPLE_BYTES);
    let bytes = Bytes {
        compression,
        encoding: plain.get("encoding").cloned(),
        ..Bytes::default()
    };
    Ok((bytes, sample_bytes))
}

/// A number of bytes, if it is given.
fn size(plain: &Plain, name: &str) -> Result<Option<u64>, OptionProblem> {
    let Some(text) = plain.get(name) else {
        return Ok(None);
    };
    let size = text.trim().parse::<ByteSize>();
    let size = size.map_err(|_| {
        OptionProblem::new(name, format!("`{text}` is no size such as `64MiB`"), None)
    })?;
    Ok(Some(size.as_u64()))
}

/// What is said of files that are values.
fn of_binary(plain: &Plain) -> Result<Binary, OptionProblem> {
    let chunk_bytes = size(plain, "chunk_bytes")?;
    if chunk_bytes == Some(0) {
        return Err(OptionProblem::new("chunk_bytes", "is nothing", None));
    }
    Ok(Binary {
        chunk_bytes,
        ..Binary::default()
    })
}

/// What is said of CSV.
fn of_csv(plain: &Plain) -> Result<Csv, OptionProblem> {
    let mut csv = Csv {
        by_position: flag(plain, "by_position", false),
        ..Csv::default()
    };
    csv.delimiter = match character(plain, "delimiter")? {
        Some(None) => return Err(OptionProblem::new("delimiter", "is empty", None)),
        said => said.flatten(),
    };
    let dialect = &mut csv.dialect;
    if let Some(quote) = character(plain, "quote")? {
        dialect.quote = quote;
    }
    dialect.escape = character(plain, "escape")?
        .flatten()
        .filter(|escape| Some(*escape) != dialect.quote);
    dialect.comment = character(plain, "comment")?.flatten();
    dialect.header = flag(plain, "has_header", true);
    dialect.newlines = flag(plain, "newlines_in_values", true);
    dialect.skip_rows = plain
        .get("skip_rows")
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    if let Some(words) = plain.get("null") {
        dialect
            .null
            .extend(words.split(',').map(|word| word.trim().to_owned()));
    }
    if plain.contains_key("dialect") {
        let is_wanted = |name: &str| !plain.contains_key(name);
        csv.detect = Some(Detect {
            delimiter: is_wanted("delimiter"),
            quote: is_wanted("quote"),
            header: is_wanted("has_header"),
            skip_rows: is_wanted("skip_rows"),
        });
    }
    let special = [
        Some(csv.delimiter.unwrap_or(b',')),
        dialect.quote,
        dialect.comment,
    ];
    for (index, one) in special.iter().enumerate() {
        if one.is_some() && special[..index].contains(one) {
            let name = ["delimiter", "quote", "comment"][index];
            return Err(OptionProblem::new(
                name,
                "is the same character as another option",
                None,
            ));
        }
    }
    Ok(csv)
}

/// What is said of JSON.
fn of_json(plain: &Plain) -> Result<Json, OptionProblem> {
    let layout = match plain.get("layout").map(String::as_str) {
        Some("lines") => Some(Layout::Lines),
        Some("documents") => Some(Layout::Documents),
        Some("array") => Some(Layout::Array),
        _ if flag(plain, "newline_delimited", false) => Some(Layout::Lines),
        _ => None,
    };
    let path = plain.get("path").map(|text| Path::parse(text.trim()));
    let path = path.transpose();
    let path = path.map_err(|problem| OptionProblem::new("path", problem, None))?;
    if path.is_some() {
        let other = ["layout", "newline_delimited"].into_iter();
        if let Some(other) = other.into_iter().find(|name| plain.contains_key(*name)) {
            let problem = "cannot be said with `path`, which is of documents on any lines";
            return Err(OptionProblem::new(other, problem, None));
        }
    }
    Ok(Json { layout, path })
}
