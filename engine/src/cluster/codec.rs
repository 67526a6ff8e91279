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
        match files::is_operator(buf) {
            true => files::decode_operator(buf, inputs),
            false => decode_operator(buf, inputs.to_vec(), &self.storage),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let encoded = match files::encode_operator(node.as_ref())? {
            None => encode_operator(node.as_ref())?,
            encoded => encoded,
        };
        let encoded = encoded.ok_or_else(|| {
            internal_datafusion_err!("{} is not an operator of ours", node.name())
        })?;
        buf.extend(encoded);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
