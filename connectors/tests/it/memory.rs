//! Batches and streams of a program as a source.

use std::collections::HashSet;
use std::sync::Arc;

use connectors::extract::{Control, ExtractError, Unit};
use connectors::source::{OpenError, Read, SourceFactory};
use connectors::{MemorySource, Registry};
use datafusion::arrow::array::{AsArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use futures::{StreamExt, stream};

use crate::support::{Outcome, declared};

fn schema() -> SchemaRef {
    let field = Field::new("id", DataType::Int64, false);
    Arc::new(Schema::new(vec![field]))
}

fn batch(ids: Vec<i64>) -> Result<RecordBatch, DataFusionError> {
    let column = Arc::new(Int64Array::from(ids));
    Ok(RecordBatch::try_new(schema(), vec![column])?)
}

async fn units(
    registry: &Registry,
    location: &str,
    control: Control,
) -> Result<Vec<Result<Unit, ExtractError>>, OpenError> {
    let extract = registry.find("memory")?.open(&declared(location, &[]))?;
    Ok(extract.units(control).collect().await)
}

fn ids(units: &[Result<Unit, ExtractError>]) -> Vec<i64> {
    let records = units.iter().flatten().flat_map(|unit| &unit.records);
    records
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect()
}

#[tokio::test]
async fn batches_come_whole_and_what_has_landed_is_left_out() -> Outcome {
    let batches = vec![batch(vec![1, 2])?, batch(vec![3])?];
    let memory = MemorySource::default().batches("orders", schema(), batches);
    let registry = Registry::builtin().with(memory);
    let factory = registry.find("MEMORY")?;
    let Read::Extracted(columns) = factory.read(&declared("orders", &[])) else {
        return Err("it is read in place".into());
    };
    assert_eq!(columns, schema());
    let control = Control::default();
    let metrics = Arc::clone(&control.metrics);
    let all = units(&registry, "orders", control).await?;
    assert_eq!(ids(&all), [1, 2, 3]);
    let seen = metrics.snapshot();
    assert_eq!((seen.entries_landed, seen.units_done), (3, 2));

    let landed: HashSet<String> = all
        .iter()
        .flatten()
        .take(1)
        .map(|unit| unit.key.clone())
        .collect();
    let rest = Control {
        landed: Arc::new(move |key| landed.contains(key)),
        ..Control::default()
    };
    assert_eq!(ids(&units(&registry, "orders", rest).await?), [3]);
    let estimate = factory.open(&declared("orders", &[]))?.estimate().await?;
    assert_eq!((estimate.rows, estimate.exact), (Some(3), true));
    Ok(())
}

#[tokio::test]
async fn an_error_of_a_stream_and_a_cancellation_are_the_last_item() -> Outcome {
    let memory = MemorySource::default().stream("ticks", schema(), || {
        let failed = Err(DataFusionError::Execution("no more ticks".to_owned()));
        stream::iter([batch(vec![7]), failed, batch(vec![8])]).boxed()
    });
    let registry = Registry::builtin().with(memory);
    let read = units(&registry, "ticks", Control::default()).await?;
    assert_eq!((read.len(), ids(&read)), (2, vec![7]));
    assert!(matches!(read[1], Err(ExtractError::Stream { .. })));

    let control = Control::default();
    control.cancel.cancel();
    let read = units(&registry, "ticks", control).await?;
    assert!(matches!(read[..], [Err(ExtractError::Cancelled)]));
    Ok(())
}

#[test]
fn a_name_or_an_option_that_is_not_there_is_told() -> Outcome {
    let memory = MemorySource::default().batches("orders", schema(), Vec::new());
    let told = memory.check(&declared("ordrs", &[("page", "1")]));
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "`page` is not an option of this source",
            "`location` `ordrs` is none of orders; did you mean `orders`?"
        ]
    );
    Ok(())
}
