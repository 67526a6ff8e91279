//! Our operators as bytes: what another process needs to sample the same rows, assign them to the same streams, and write
//! the same files into the same staging area. Owns the format. Both sides are one version of this program: a cluster of
//! mixed versions is refused when it is formed.
//!
//! No credentials travel: each process that writes opens the table's storage with its own.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use super::lazy_store::LazyStore;
use super::split::{RangeAssignExec, RangeAssignment, SampleExec, SplitKeys};
use super::{PartitionedWriteExec, WriteSpec};
use crate::log_options::LogOptions;
use crate::schema::{ColumnRecord, TableSchema};
use crate::storage::StorageOptions;

/// An operator without its inputs.
#[derive(Debug, Serialize, Deserialize)]
enum EncodedOperator {
    Sample(EncodedKeys),
    AssignRanges(EncodedKeys, RangeAssignment),
    Write(EncodedSpec),
}

/// Columns of a table, or some of them, and its options.
#[derive(Debug, Serialize, Deserialize)]
struct EncodedKeys {
    columns: Vec<ColumnRecord>,
    partition_by: Vec<String>,
    options: LogOptions,
    checked: Vec<String>,
}

/// A [`WriteSpec`] of an attempt of a run, without its storage.
#[derive(Debug, Serialize, Deserialize)]
struct EncodedSpec {
    location: String,
    token: String,
    attempt: u32,
    exchanged: bool,
    split: bool,
    columns: Vec<ColumnRecord>,
    partition_by: Vec<String>,
    options: LogOptions,
    readable: bool,
    checked: Vec<String>,
    replaced_names: HashMap<String, String>,
}

/// An operator of this crate without its inputs, for [`decode_operator`] in another process; `None` for any other.
///
/// # Errors
/// If it was not made for other processes, by [`crate::Staging::remote_plan`].
pub fn encode_operator(operator: &dyn ExecutionPlan) -> Result<Option<Vec<u8>>> {
    let encoded = if let Some(write) = operator.downcast_ref::<PartitionedWriteExec>() {
        EncodedOperator::Write(write.encode()?)
    } else if let Some(sample) = operator.downcast_ref::<SampleExec>() {
        EncodedOperator::Sample(sample.keys().encode())
    } else if let Some(assign) = operator.downcast_ref::<RangeAssignExec>() {
        EncodedOperator::AssignRanges(assign.keys().encode(), assign.assignment().clone())
    } else {
        return Ok(None);
    };
    serde_json::to_vec(&encoded)
        .map(Some)
        .map_err(|error| DataFusionError::External(Box::new(error)))
}

/// The operator over its inputs, as it had them. When it is executed, a table's storage is reached as `options` say.
///
/// # Errors
/// If the bytes and inputs are not those of an operator of this version.
pub fn decode_operator(
    bytes: &[u8],
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    options: &StorageOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let encoded: EncodedOperator = serde_json::from_slice(bytes)
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    let one = |mut inputs: Vec<Arc<dyn ExecutionPlan>>| {
        let input = inputs.pop().filter(|_| inputs.is_empty());
        input.ok_or_else(|| internal_datafusion_err!("the operator has one input"))
    };
    Ok(match encoded {
        EncodedOperator::Sample(keys) => {
            Arc::new(SampleExec::new(one(inputs)?, Arc::new(keys.into_keys()?)))
        }
        EncodedOperator::AssignRanges(keys, assignment) => Arc::new(RangeAssignExec::new(
            one(inputs)?,
            Arc::new(keys.into_keys()?),
            Arc::new(assignment),
        )),
        EncodedOperator::Write(spec) => Arc::new(PartitionedWriteExec::over(
            inputs,
            Arc::new(spec.into_spec(options)?),
        )?),
    })
}

impl SplitKeys {
    fn encode(&self) -> EncodedKeys {
        EncodedKeys {
            columns: self.schema.to_record(),
            partition_by: self.schema.partition_by().to_vec(),
            options: self.log_options.clone(),
            checked: self.checked.clone(),
        }
    }
}

impl EncodedKeys {
    fn into_keys(self) -> Result<SplitKeys> {
        let schema = schema(&self.columns, &self.partition_by)?;
        let options = self.options.to_options(&self.partition_by);
        SplitKeys::new(&schema, &options, &self.checked)
            .ok_or_else(|| internal_datafusion_err!("the options do not split partitions"))
    }
}

impl PartitionedWriteExec {
    fn encode(&self) -> Result<EncodedSpec> {
        let spec = &self.spec;
        let Some(attempt) = spec.attempt else {
            return Err(internal_datafusion_err!(
                "this PartitionedWriteExec is for the process that made it"
            ));
        };
        Ok(EncodedSpec {
            location: spec.store.location().to_owned(),
            token: spec.token.clone(),
            attempt,
            exchanged: spec.exchanged,
            split: spec.split,
            columns: spec.table_schema.to_record(),
            partition_by: spec.table_schema.partition_by().to_vec(),
            options: spec.log_options.clone(),
            readable: spec.readable,
            checked: spec.checked.clone(),
            replaced_names: spec.replaced_names.clone(),
        })
    }
}

impl EncodedSpec {
    fn into_spec(self, options: &StorageOptions) -> Result<WriteSpec> {
        let schema = schema(&self.columns, &self.partition_by)?;
        let mut spec = WriteSpec::new(
            LazyStore::deferred(&self.location, options),
            &self.token,
            &schema,
            &self.options.to_options(&self.partition_by),
        )
        .discarding(&self.checked)
        .readable(self.readable)
        .in_attempt(self.attempt, self.exchanged)
        .split(self.split);
        spec.replaced_names = self.replaced_names;
        Ok(spec)
    }
}

fn schema(columns: &[ColumnRecord], partition_by: &[String]) -> Result<TableSchema> {
    TableSchema::from_record(columns, partition_by)
        .map_err(|reason| internal_datafusion_err!("a schema of another version: {reason}"))
}
