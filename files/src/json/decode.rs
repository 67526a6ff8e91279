//! Documents to columns. Owns which value of a document goes where: keys are matched by name, a number is what its digits
//! say, and a column of texts takes every value, those that are no string as they are written.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, ListArray, NullBufferBuilder, RecordBatch, RecordBatchOptions, StructArray,
};
use datafusion::arrow::buffer::{OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::arrow::error::ArrowError;

use super::Layout;
use super::lexer::{Kind, Lexer, is_plain};
use crate::columns::{Columns, misfit_of};
use crate::error::Problem;
use crate::misfit::Misfit;
use crate::record_starts::RecordStarts;
use crate::split::Part;
use crate::value::Values;

/// Rows for which a column has room at first.
const ROWS: usize = 1_024;

/// Reads the documents of one file.
#[derive(Debug)]
pub(crate) struct JsonDecoder {
    columns: Columns,
    layout: Layout,
    root: Objects,
    /// Whether a document on several lines is a mistake where each has a line.
    strict_lines: bool,
    starts: RecordStarts,
}

/// Where values go.
#[derive(Debug)]
enum Node {
    Scalar(Field, Values, bool),
    List(Lists),
    Object(Objects),
}

#[derive(Debug)]
struct Lists {
    field: Field,
    item: FieldRef,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    items: Box<Node>,
    len: usize,
}

#[derive(Debug)]
struct Objects {
    name: String,
    fields: Fields,
    /// The keys that are known, in the order in which documents are likely to have them.
    keys: Vec<Key>,
    /// The places of keys, by their names.
    index: HashMap<String, usize>,
    nodes: Vec<Node>,
    nulls: NullBufferBuilder,
    /// For every field, the number of the last object that had it.
    seen: Vec<usize>,
    len: usize,
    /// Whether a key that is no field is a mistake, because the fields were found in the data.
    closed: bool,
}

#[derive(Debug)]
struct Key {
    name: String,
    /// Whether it is written as it is.
    is_plain: bool,
    /// Where its value goes; `None` if it is not wanted.
    node: Option<usize>,
}

impl JsonDecoder {
    /// For these columns. `all` are the keys that documents are known to have; others are refused where the columns were
    /// found in the data.
    ///
    /// # Errors
    /// When values of a type cannot be read from JSON.
    pub(crate) fn new(columns: Columns, all: &Fields, layout: Layout) -> Result<Self, String> {
        let schema = Arc::clone(columns.schema());
        let root = Objects::new("", schema.fields(), all, columns.is_inferred())?;
        Ok(Self {
            columns,
            layout,
            root,
            strict_lines: false,
            starts: RecordStarts::default(),
        })
    }

    /// Notes where documents begin, if that is wanted.
    #[must_use]
    pub(crate) fn with_starts(mut self, wanted: bool) -> Self {
        self.starts = RecordStarts::kept(wanted);
        self
    }

    /// Where documents begin.
    pub(crate) fn starts(&self) -> &RecordStarts {
        &self.starts
    }

    /// A document on several lines is a mistake where each has a line: whether one that breaks off goes on would depend on
    /// where the file is cut.
    #[must_use]
    pub(crate) fn with_strict_lines(mut self) -> Self {
        self.strict_lines = self.layout == Layout::Lines;
        self
    }

    /// The next rows of `text`, `most` of them at most, from `at` on, and where they end; `None` if there are no more.
    ///
    /// # Errors
    /// With the place of what is no JSON, or no value of its column.
    pub(crate) fn decode(
        &mut self,
        text: &str,
        part: Part,
        at: usize,
        most: usize,
    ) -> Result<Option<(RecordBatch, usize)>, Problem> {
        let mut lexer = Lexer::new(text, at);
        let mut rows = 0;
        self.starts.clear();
        if self.layout == Layout::Array && at == 0 && !self.begin_array(&mut lexer, part)? {
            return Ok(None);
        }
        while rows < most && lexer.peek().is_some() {
            let start = lexer.position();
            self.starts.begin(start);
            if lexer.kind()? != Kind::Object {
                return Err(self.no_object(&mut lexer));
            }
            self.root.append(&mut lexer)?;
            rows += 1;
            if self.strict_lines {
                on_one_line(text, start, lexer.position())?;
            }
            if self.layout == Layout::Array {
                end_item(&mut lexer, part)?;
            }
        }
        self.starts.end();
        if rows == 0 {
            return Ok(None);
        }
        let batch = self.batch(rows);
        let batch = batch.map_err(|error| Problem::new(at, error.to_string()))?;
        Ok(Some((batch, lexer.position())))
    }

    /// Takes the bracket that opens the array, and tells whether an item follows.
    fn begin_array(&self, lexer: &mut Lexer<'_>, part: Part) -> Result<bool, Problem> {
        if !part.first {
            return match lexer.peek() {
                Some(b']') | None => Err(lexer.unexpected("an object")),
                Some(_) => Ok(true),
            };
        }
        lexer.open(b'[')?;
        if lexer.peek() != Some(b']') {
            return Ok(true);
        }
        lexer.close(b']', true)?;
        end_file(lexer).map(|()| false)
    }

    fn no_object(&self, lexer: &mut Lexer<'_>) -> Problem {
        let problem = lexer.unexpected("an object");
        match (lexer.peek(), self.layout) {
            (Some(b'['), Layout::Lines | Layout::Documents) => problem.with_help(
                "if the file is one array of objects, say so with the option `newline_delimited 'false'`",
            ),
            _ => problem,
        }
    }

    fn batch(&mut self, rows: usize) -> Result<RecordBatch, ArrowError> {
        let columns = self.root.columns()?;
        self.root.begin();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(self.columns.schema()), columns, &options)
    }
}

/// A document has no line end in it.
fn on_one_line(text: &str, start: usize, end: usize) -> Result<(), Problem> {
    match memchr::memchr(b'\n', &text.as_bytes()[start..end]) {
        None => Ok(()),
        Some(_) => Err(Problem::new(start, "the document goes on in the next line")
            .with_help("if documents stand on several lines, say `layout 'documents'`")),
    }
}

/// Takes what stands behind an item of the array.
fn end_item(lexer: &mut Lexer<'_>, part: Part) -> Result<(), Problem> {
    if lexer.accept(b',') {
        // In the last part, a comma is between items.
        return match lexer.peek() {
            None | Some(b']') if part.last => Err(lexer.unexpected("an object")),
            _ => Ok(()),
        };
    }
    if part.last {
        lexer.expect(b']', "`,` or `]`")?;
        return end_file(lexer);
    }
    Err(lexer.unexpected("`,`"))
}

/// Nothing stands behind the array.
fn end_file(lexer: &mut Lexer<'_>) -> Result<(), Problem> {
    match lexer.peek() {
        None => Ok(()),
        Some(_) => Err(lexer.unexpected("the end of the file")),
    }
}

impl Node {
    fn new(field: &Field, inferred: bool) -> Result<Self, String> {
        Ok(match field.data_type() {
            DataType::Struct(fields) => {
                Self::Object(Objects::new(field.name(), fields, fields, inferred)?)
            }
            DataType::List(item) => Self::List(Lists {
                field: field.clone(),
                item: Arc::clone(item),
                offsets: vec![0],
                nulls: NullBufferBuilder::new(ROWS),
                items: Box::new(Self::new(
                    &item.as_ref().clone().with_name(field.name()),
                    inferred,
                )?),
                len: 0,
            }),
            data_type => {
                let values = Values::new(data_type, ROWS).ok_or_else(|| {
                    format!(
                        "column `{}`: values of the type {data_type} cannot be read from JSON",
                        field.name()
                    )
                })?;
                let values = if inferred { values.inferred() } else { values };
                Self::Scalar(field.clone(), values, inferred)
            }
        })
    }

    fn append_null(&mut self) {
        match self {
            Self::Scalar(_, values, _) => values.append_null(),
            Self::List(lists) => lists.append_null(),
            Self::Object(objects) => objects.append_null(),
        }
    }

    #[inline]
    fn append(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Problem> {
        let kind = lexer.kind()?;
        if kind == Kind::Null {
            lexer.word("null")?;
            self.append_null();
            return Ok(());
        }
        let at = lexer.position();
        match self {
            Self::Scalar(field, values, inferred) => {
                let wrong = |text: &str, misfit: Misfit| {
                    misfit_of(at, field.name(), field.data_type(), *inferred, text, misfit)
                };
                match kind {
                    Kind::String => {
                        let text = lexer.string()?;
                        values.append(&text).map_err(|misfit| wrong(&text, misfit))
                    }
                    _ if values.is_text() => {
                        let text = lexer.skip()?;
                        values.append(text).map_err(|misfit| wrong(text, misfit))
                    }
                    Kind::Number => {
                        let text = lexer.number()?;
                        if values.is_number() {
                            values.append(text).map_err(|misfit| wrong(text, misfit))
                        } else {
                            Err(wrong(text, Misfit(Some("it is a number"))))
                        }
                    }
                    Kind::Boolean => {
                        let text = if lexer.boolean()? { "true" } else { "false" };
                        match values {
                            Values::Boolean(builder) => {
                                builder.append_value(text == "true");
                                Ok(())
                            }
                            _ => Err(wrong(text, Misfit(None))),
                        }
                    }
                    _ => {
                        let text = lexer.skip()?;
                        Err(wrong(text, Misfit(None)))
                    }
                }
            }
            Self::List(lists) => match kind {
                Kind::Array => lists.append(lexer),
                _ => Err(lists.misfit(lexer)?),
            },
            Self::Object(objects) => match kind {
                Kind::Object => objects.append(lexer),
                _ => Err(objects.misfit(lexer)?),
            },
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Scalar(_, values, _) => values.finish(),
            Self::List(lists) => lists.finish(),
            Self::Object(objects) => objects.finish(),
        }
    }
}

impl Lists {
    fn append_null(&mut self) {
        self.nulls.append_null();
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.len += 1;
    }

    fn append(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Problem> {
        lexer.open(b'[')?;
        let (mut first, mut count) = (true, self.offsets.last().copied().unwrap_or(0));
        while !lexer.close(b']', first)? {
            self.items.append(lexer)?;
            first = false;
            count = count.checked_add(1).ok_or_else(|| {
                Problem::new(
                    lexer.position(),
                    "lists have more than 2,147,483,647 items together",
                )
            })?;
        }
        self.nulls.append_non_null();
        self.offsets.push(count);
        self.len += 1;
        Ok(())
    }

    fn misfit(&self, lexer: &mut Lexer<'_>) -> Result<Problem, Problem> {
        let at = lexer.position();
        let text = lexer.skip()?;
        Ok(misfit_of(
            at,
            self.field.name(),
            self.field.data_type(),
            false,
            text,
            Misfit(None),
        ))
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.len = 0;
        let items = self.items.finish()?;
        Ok(Arc::new(ListArray::try_new(
            Arc::clone(&self.item),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            items,
            self.nulls.finish(),
        )?))
    }
}

impl Objects {
    /// Of these fields. Of `known` keys, those that are no field are read and dropped.
    fn new(name: &str, fields: &Fields, known: &Fields, closed: bool) -> Result<Self, String> {
        let nodes: Result<Vec<Node>, String> = fields
            .iter()
            .map(|field| Node::new(field, closed))
            .collect();
        let places = fields.iter().enumerate();
        let nodes_of: HashMap<&str, usize> = places
            .map(|(node, field)| (field.name().as_str(), node))
            .collect();
        let keys: Vec<Key> = known
            .iter()
            .map(|field| Key {
                name: field.name().clone(),
                is_plain: is_plain(field.name()),
                node: nodes_of.get(field.name().as_str()).copied(),
            })
            .collect();
        let index = keys.iter().enumerate();
        Ok(Self {
            name: name.to_owned(),
            index: index
                .map(|(place, key)| (key.name.clone(), place))
                .collect(),
            keys,
            seen: vec![0; fields.len()],
            fields: fields.clone(),
            nodes: nodes?,
            nulls: NullBufferBuilder::new(ROWS),
            len: 0,
            closed,
        })
    }

    fn append_null(&mut self) {
        self.nodes.iter_mut().for_each(Node::append_null);
        self.nulls.append_null();
        self.len += 1;
    }

    fn append(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Problem> {
        lexer.open(b'{')?;
        self.len += 1;
        let (mut first, mut expected, mut found) = (true, 0, 0);
        while !lexer.close(b'}', first)? {
            first = false;
            let Some(place) = self.place(lexer, expected)? else {
                lexer.skip()?;
                continue;
            };
            expected = place + 1;
            let Some(node) = self.keys[place].node else {
                lexer.skip()?;
                continue;
            };
            self.seen[node] = self.len;
            self.nodes[node].append(lexer)?;
            found += 1;
        }
        if found < self.nodes.len() {
            for (node, seen) in self.nodes.iter_mut().zip(&self.seen) {
                if *seen != self.len {
                    node.append_null();
                }
            }
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// Takes a key, and tells which of the known ones it is; most documents have them in one order, so `expected` is the likely
    /// one.
    ///
    /// # Errors
    /// When it is in the object already, or is not known and has to be.
    #[inline]
    fn place(&self, lexer: &mut Lexer<'_>, expected: usize) -> Result<Option<usize>, Problem> {
        lexer.peek();
        let at = lexer.position();
        let place = match self.keys.get(expected) {
            Some(key) if key.is_plain && lexer.accept_key(&key.name) => Some(expected),
            _ => {
                let key = lexer.key()?;
                match self.index.get(key.as_ref()) {
                    None if self.closed => return Err(self.unknown(at, &key)),
                    known => known.copied(),
                }
            }
        };
        let known = place.and_then(|place| self.keys.get(place));
        if let Some(Key {
            name,
            node: Some(node),
            ..
        }) = known
            && self.seen[*node] == self.len
        {
            return Err(Problem::new(
                at,
                format!("the key `{name}` is twice in an object"),
            ));
        }
        Ok(place)
    }

    fn unknown(&self, at: usize, key: &str) -> Problem {
        let place = match self.name.is_empty() {
            true => String::new(),
            false => format!(" of `{}`", self.name),
        };
        Problem::new(
            at,
            format!(
                "the key `{}`{place} is in none of the documents that were looked at",
                crate::error::shown(key)
            ),
        )
        .with_help(
            "declare the columns of the table, or look at more with the option `sample_size`",
        )
    }

    fn misfit(&self, lexer: &mut Lexer<'_>) -> Result<Problem, Problem> {
        let at = lexer.position();
        let text = lexer.skip()?;
        Ok(
            Problem::new(at, format!("`{}` is no object", crate::error::shown(text)))
                .in_column(&self.name),
        )
    }

    fn columns(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.nodes.iter_mut().map(Node::finish).collect()
    }

    /// Begins a new batch.
    fn begin(&mut self) {
        self.len = 0;
        self.seen.fill(0);
        drop(self.nulls.finish());
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let (columns, len, nulls) = (self.columns()?, self.len, self.nulls.finish());
        self.begin();
        Ok(Arc::new(StructArray::try_new_with_length(
            self.fields.clone(),
            columns,
            nulls,
            len,
        )?))
    }
}
