//! Our operators as bytes, beside Ballista's and DataFusion's own. Client, scheduler and executor use the same codec.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    ComposedPhysicalExtensionCodec, PhysicalExtensionCodec, PhysicalProtoConverterExtension,
};
use tables::{StorageOptions, decode_operator, encode_operator};

/// The codec of physical plans. The order of its parts is part of the format. Operators that are
/// read reach the storages of tables as `storage` says.
pub fn physical_codec(storage: StorageOptions) -> Arc<dyn PhysicalExtensionCodec> {
    Arc::new(ComposedPhysicalExtensionCodec::new(vec![
        Arc::new(BallistaPhysicalExtensionCodec::default()),
        Arc::new(OperatorCodec { storage }),
    ]))
}

/// The operators of this product.
#[derive(Debug)]
struct OperatorCodec {
    /// How this process reaches the storages of tables.
    storage: StorageOptions,
}

impl PhysicalExtensionCodec for OperatorCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        decode_operator(buf, inputs.to_vec(), &self.storage)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let encoded = encode_operator(node.as_ref())?.ok_or_else(|| {
            internal_datafusion_err!("{} is not an operator of ours", node.name())
        })?;
        buf.extend(encoded);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What the product implements of the engine, and how it gets to executors.
    const WAYS: [(&str, &str, &str); 5] = [
        ("ExecutionPlan", "RangeAssignExec", "by `OperatorCodec`"),
        ("ExecutionPlan", "SampleExec", "by `OperatorCodec`"),
        (
            "ExecutionPlan",
            "PartitionedWriteExec",
            "by `OperatorCodec`",
        ),
        (
            "TableProvider",
            "Files",
            "as the scan of files that it plans",
        ),
        (
            "FileSource",
            "ShallowJson",
            "not: each process that executes puts it into its plans",
        ),
    ];

    /// The types in the sources of a folder that implement one of these traits.
    fn implemented(folder: &Path, traits: &[&str], found: &mut BTreeSet<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                implemented(&path, traits, found);
                continue;
            }
            for line in std::fs::read_to_string(&path).unwrap_or_default().lines() {
                let Some((implemented, of)) = line
                    .strip_prefix("impl")
                    .and_then(|rest| rest.split_once(" for "))
                else {
                    continue;
                };
                let name = implemented.rsplit([' ', ':']).next().unwrap_or_default();
                if traits.contains(&name) {
                    let of = of.split([' ', '<', '{']).next().unwrap_or_default();
                    found.insert((String::from(name), String::from(of)));
                }
            }
        }
    }

    #[test]
    fn every_operator_and_source_of_the_product_has_a_way_to_executors() {
        let traits = ["ExecutionPlan", "TableProvider", "DataSource", "FileSource"];
        let mut found = BTreeSet::new();
        for member in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap() {
            let sources = member.unwrap().path().join("src");
            if sources.is_dir() {
                implemented(&sources, &traits, &mut found);
            }
        }
        let known = WAYS
            .iter()
            .map(|(what, name, _)| (String::from(*what), String::from(*name)))
            .collect::<BTreeSet<_>>();
        assert_eq!(
            found, known,
            "decide how each gets to executors, and say it in WAYS"
        );
    }

    #[test]
    fn an_operator_that_is_not_ours_is_refused_with_its_name() {
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::empty());
        let operator = Arc::new(datafusion::physical_plan::empty::EmptyExec::new(schema));
        let codec = OperatorCodec {
            storage: StorageOptions::default(),
        };
        let error = codec
            .try_encode(
                operator,
                &mut Vec::new(),
                &datafusion_proto::physical_plan::DefaultPhysicalProtoConverter {},
            )
            .unwrap_err();
        assert!(error.to_string().contains("EmptyExec"), "{error}");
    }
}
