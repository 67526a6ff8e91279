//! The data of TPC-H at any scale, as text. Owns which files there are, and where their comments are cut from; all else in the
//! rows is `tpchgen`'s, which gives the same ones every time: those of the benchmark's own program.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::distribution::Distributions;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen::text::TextPool;

/// Files of a table that grows with the scale; the others have one.
const FILES: i32 = 4;

/// Bytes of the text that comments are cut from. The benchmark's own 300 MB take a quarter of a minute without the
/// optimiser; of fewer bytes the comments are other ones, by the same grammar.
const TEXT: i32 = 4 << 20;

/// Writes the eight tables into `folder`, each into a folder of its name as CSV with a header. At scale 1 `lineitem` has six
/// million rows. `supplier` has ten thousand, and fewer than one hundred leave no room for the benchmark's proportions, so
/// that 0.01 is the least scale of use.
///
/// # Errors
/// When a file cannot be written.
pub fn write_tables(folder: &Path, scale: f64) -> anyhow::Result<()> {
    let words = Distributions::static_default();
    let text = &TextPool::new(TEXT, words);
    let files = [1].map(|_| {
        NationGenerator::new_with_distributions_and_text_pool(words, text)
            .iter()
            .map(NationCsv::new)
    });
    write_table(&folder.join("nation"), NationCsv::header(), files)?;
    let files = [1].map(|_| {
        RegionGenerator::new_with_distributions_and_text_pool(words, text)
            .iter()
            .map(RegionCsv::new)
    });
    write_table(&folder.join("region"), RegionCsv::header(), files)?;
    let files = [1].map(|file| {
        SupplierGenerator::new_with_distributions_and_text_pool(scale, file, 1, words, text)
            .iter()
            .map(SupplierCsv::new)
    });
    write_table(&folder.join("supplier"), SupplierCsv::header(), files)?;
    let files = (1..=FILES).map(|file| {
        PartGenerator::new_with_distributions_and_text_pool(scale, file, FILES, words, text)
            .iter()
            .map(PartCsv::new)
    });
    write_table(&folder.join("part"), PartCsv::header(), files)?;
    let files = (1..=FILES).map(|file| {
        PartSuppGenerator::new_with_text_pool(scale, file, FILES, text)
            .iter()
            .map(PartSuppCsv::new)
    });
    write_table(&folder.join("partsupp"), PartSuppCsv::header(), files)?;
    let files = (1..=FILES).map(|file| {
        CustomerGenerator::new_with_distributions_and_text_pool(scale, file, FILES, words, text)
            .iter()
            .map(CustomerCsv::new)
    });
    write_table(&folder.join("customer"), CustomerCsv::header(), files)?;
    let files = (1..=FILES).map(|file| {
        OrderGenerator::new_with_distributions_and_text_pool(scale, file, FILES, words, text)
            .iter()
            .map(OrderCsv::new)
    });
    write_table(&folder.join("orders"), OrderCsv::header(), files)?;
    let files = (1..=FILES).map(|file| {
        LineItemGenerator::new_with_distributions_and_text_pool(scale, file, FILES, words, text)
            .iter()
            .map(LineItemCsv::new)
    });
    write_table(&folder.join("lineitem"), LineItemCsv::header(), files)?;
    Ok(())
}

/// Writes one file for each of `files`, in their order.
fn write_table<Rows>(
    folder: &Path,
    header: &str,
    files: impl IntoIterator<Item = Rows>,
) -> anyhow::Result<()>
where
    Rows: Iterator<Item: Display>,
{
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (number, rows) in files.into_iter().enumerate() {
        let path = folder.join(format!("{number}.csv"));
        let written = File::create(&path).and_then(|file| {
            let mut file = BufWriter::new(file);
            writeln!(file, "{header}")?;
            for row in rows {
                writeln!(file, "{row}")?;
            }
            file.flush()
        });
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
