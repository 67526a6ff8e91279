//! The operator as bytes: what another process needs to write the same files into the same staging area. Owns the
//! format. Both sides are one version of this program: a cluster of mixed versions is refused when it is formed.
//!
//! No credentials travel: each process that writes opens the table's storage with its own.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use super::place::StorePlace;
use super::{PartitionedWriteExec, WriteSpec};
use crate::recorded::RecordedOptions;
use crate::schema::{ColumnRecord, TableSchema};
use crate::storage::StorageOptions;

/// A [`WriteSpec`] of a try of a run, without its storage.
#[derive(Debug, Serialize, Deserialize)]
struct WireSpec {
    location: String,
    token: String,
    attempt: u32,
    dealt: bool,
    columns: Vec<ColumnRecord>,
    partition_by: Vec<String>,
    options: RecordedOptions,
    readable: bool,
    checked: Vec<String>,
    replaced_names: HashMap<String, String>,
}

impl PartitionedWriteExec {
    /// The operator without its input, for [`PartitionedWriteExec::decode`] in another process.
    ///
    /// # Errors
    /// If it was not made for other processes, by [`crate::Staging::remote_plan`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let spec = &self.spec;
        let Some(attempt) = spec.attempt else {
            return Err(internal_datafusion_err!(
                "this PartitionedWriteExec is for the process that made it"
            ));
        };
        let wire = WireSpec {
            location: spec.store.location().to_owned(),
            token: spec.token.clone(),
            attempt,
            dealt: spec.dealt,
            columns: spec.table_schema.to_record(),
            partition_by: spec.table_schema.partition_by().to_vec(),
            options: spec.recorded.clone(),
            readable: spec.readable,
            checked: spec.checked.clone(),
            replaced_names: spec.replaced_names.clone(),
        };
        serde_json::to_vec(&wire).map_err(|error| DataFusionError::External(Box::new(error)))
    }

    /// The operator over its inputs, as it had them. When it is executed, the table's storage is reached as `options` say.
    ///
    /// # Errors
    /// If the bytes and inputs are not those of an operator of this version.
    pub fn decode(
        bytes: &[u8],
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        options: &StorageOptions,
    ) -> Result<Self> {
        let wire: WireSpec = serde_json::from_slice(bytes)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let schema = TableSchema::from_record(&wire.columns, &wire.partition_by)
            .map_err(|reason| internal_datafusion_err!("a schema of another version: {reason}"))?;
        let mut spec = WriteSpec::new(
            StorePlace::later(&wire.location, options),
            &wire.token,
            &schema,
            &wire.options.to_options(&wire.partition_by),
        )
        .discarding(&wire.checked)
        .readable(wire.readable)
        .in_attempt(wire.attempt, wire.dealt);
        spec.replaced_names = wire.replaced_names;
        Self::over(inputs, Arc::new(spec))
    }
}
