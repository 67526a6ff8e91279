//! Fuzz targets, run by `scripts/fuzz`: what may stand in a file. However it is read, the rows are the same or all ways are
//! errors of the file; what is taken, another reader takes as the same.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::ipc::writer::{FileWriter, StreamWriter};
use files::Csv;
use files::csv::Dialect;
use serde_json::Value;
use testkit::fuzz::{Chance, run};

use crate::{avro, cases::Case};

const CSV: [&str; 6] = [
    "id,name,at\n1,Ada,2026-01-31\n2,\"Grace\nHopper\",2026-02-01T10:00:00Z\n3,,\n",
    "id;name\r\n1;\"a;b\"\r\n02116;\"say \"\"so\"\"\"\r\n",
    "a\tb\tc\n1.5\t-0\t1e400\nNaN\tinf\ttrue\n",
    "\u{feff}a,b\n\"\",\n,\"\"\n\n\n1,2\n",
    "n\n9223372036854775807\n9223372036854775808\n0.1\n",
    "a,b\n1,2,3\n1\n\"open,2\n",
];
const CSV_WORDS: [&str; 16] = [
    "\"", "\"\"", ",", ";", "\n", "\r\n", "\r", "\t", "\\", "NULL", " ", "\"\n\"", "1e9", "'", "#",
    "ü",
];
const JSON: [&str; 6] = [
    "{\"id\":1,\"name\":\"Ada\",\"tags\":[\"a\",\"b\"],\"in\":{\"x\":1.5}}\n{\"id\":2,\"name\":null,\"tags\":[],\"in\":{}}\n",
    "[{\"a\":1},\n{\"a\":2.0},{\"a\":1e3}]\n",
    "{\"a\":\"\\ud83d\\ude00\\n\\\"\"} {\"a\":\"\"}\n{\"b\":true}",
    "{\"n\":9223372036854775808}\n{\"n\":-0}\n{\"n\":0.30000000000000004}\n",
    "{\"data\":{\"items\":[{\"a\":1},{\"a\":[null,{\"b\":[]}]}],\"next\":null}}\n",
    "{\n \"a\" : { \"b\" : \"c\" } ,\n \"d\" : [ 1 , 2 ]\n}\n",
];
const JSON_WORDS: [&str; 20] = [
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "\n", "null", "true", "-",
    "1e999", "01", "{}", "\"a\":1", " ", "é",
];

/// Parts of one byte and of few, but not a million of them.
fn least(length: usize) -> usize {
    1 + length / 2_000
}

#[test]
#[ignore = "runs for as long as scripts/fuzz says"]
fn csv() {
    let mut taken = 0_u64;
    run("csv", |chance| {
        let text = chance.text(&CSV, &CSV_WORDS);
        chance.note(text.as_bytes());
        // The engine's plans of tens of thousands of columns take minutes without optimisation.
        let widest = text
            .lines()
            .map(|line| line.matches([',', ';', '\t']).count());
        if widest.max().is_some_and(|delimiters| delimiters > 2_000) {
            return;
        }
        let file = [("f.csv", text.as_bytes())];
        if chance.one_in(2) {
            taken += u64::from(Case::csv(&file).all_or_not(least(text.len())).is_some());
            return;
        }
        let csv = Csv {
            dialect: Dialect {
                header: false,
                ..Dialect::default()
            },
            by_position: true,
            ..Csv::default()
        };
        let text_columns = [("a", DataType::Utf8), ("b", DataType::Utf8)];
        let case = Case::csv(&file).with_csv(csv).columns(&text_columns);
        let Some(found) = case.all_or_not(least(text.len())) else {
            return;
        };
        taken += 1;
        let mut found: Vec<String> = found.iter().map(|row| row.replace("<null>", "")).collect();
        found.sort();
        // The other reader ends lines at every carriage return.
        if !text.replace("\r\n", "").contains('\r') {
            assert_eq!(found, with_the_csv_crate(&text), "{text:?}");
        }
    });
    println!("{taken} of them were taken");
}

/// Rows of two texts, sorted.
fn with_the_csv_crate(text: &str) -> Vec<String> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut rows: Vec<String> = reader
        .records()
        .map(|record| {
            let record = record.expect("what we take is taken");
            record.iter().collect::<Vec<_>>().join("|")
        })
        .collect();
    rows.sort();
    rows
}

#[test]
#[ignore = "runs for as long as scripts/fuzz says"]
fn json() {
    let mut taken = 0_u64;
    run("json", |chance| {
        let text = match chance.one_in(3) {
            true => chance.text(&JSON, &JSON_WORDS),
            false => lines(chance),
        };
        chance.note(text.as_bytes());
        let file = [("f.json", text.as_bytes())];
        let Some(found) = Case::json(&file).all_or_not(least(text.len())) else {
            return;
        };
        taken += 1;
        let documents: Result<Vec<Value>, _> =
            serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}'))
                .into_iter()
                .collect();
        let documents = match documents {
            Ok(documents) => documents,
            // Of numbers the other reader takes those alone that it has a type for.
            Err(error) if error.to_string().starts_with("number out of range") => return,
            Err(error) => panic!("{error}: {text:?}"),
        };
        let expected = match documents.as_slice() {
            [Value::Array(items)] => items.len(),
            documents => documents.len(),
        };
        assert_eq!(found.len(), expected, "{text:?}");
    });
    println!("{taken} of them were taken");
}

/// Documents that are nearly alike.
fn lines(chance: &mut Chance) -> String {
    let document = serde_json::json!({
        "id": 1, "name": "Ada", "share": 0.5, "tags": ["a", null], "in": {"x": -0.0, "list": [{"y": true}, {}]}, "at": "2026-01-31",
    });
    let count = 1 + chance.below(5);
    let lines = (0..count).map(|_| match chance.one_in(2) {
        true => chance.json(&document).to_string() + "\n",
        false => document.to_string() + "\n",
    });
    lines.collect()
}

fn batch() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter(
        (0..40).map(|id| (id % 7 > 0).then_some(id)),
    ));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..40).map(|id| "ü".repeat(id % 5)),
    ));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

#[test]
#[ignore = "runs for as long as scripts/fuzz says"]
fn arrow() {
    let mut stream = StreamWriter::try_new(Vec::new(), &batch().schema()).unwrap();
    stream.write(&batch()).unwrap();
    let mut file = FileWriter::try_new(Vec::new(), &batch().schema()).unwrap();
    file.write(&batch()).unwrap();
    file.write(&batch()).unwrap();
    file.finish().unwrap();
    let corpus = [stream.into_inner().unwrap(), file.into_inner().unwrap()];
    run("arrow", |chance| {
        let bytes = chance.pick(&corpus).clone();
        let bytes = chance.bytes(&bytes);
        chance.note(&bytes);
        let case = Case::arrow(&[("f.arrow", &bytes)]).memory(256 << 20);
        case.all_or_not(least(bytes.len()));
    });
}

#[test]
#[ignore = "runs for as long as scripts/fuzz says"]
fn avro() {
    let corpus = avro::examples();
    run("avro", |chance| {
        let bytes = chance.pick(&corpus).clone();
        let bytes = chance.bytes(&bytes);
        chance.note(&bytes);
        let case = Case::avro(&[("f.avro", &bytes)]).memory(256 << 20);
        case.all_or_not(least(bytes.len()));
    });
}
