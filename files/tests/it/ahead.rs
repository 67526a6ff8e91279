//! Large files in an object store, which come by several requests.

use std::sync::Arc;

use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use files::listing::{Wanted, list};
use files::{Bytes, Declared, FilesTable, Format, Origin, SAMPLE_BYTES, Stores};
use rstest::rstest;
use tables::StorageOptions;
use testkit::s3::{Operation, S3Options, S3Server};
use url::Url;

/// With memory for it, and without.
#[rstest]
#[case(1 << 30, 4)]
#[case(20 << 20, 1)]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_comes_by_several_requests(#[case] memory: usize, #[case] requests: usize) {
    let server = S3Server::start(S3Options::default()).unwrap();
    let rows = 900_000_usize;
    let text: String = (0..rows).map(|row| format!("{row:029}\n")).collect();
    server.put_object("in/a.txt", text.into_bytes()).unwrap();
    let root = Url::parse(&format!("s3://{}", server.bucket())).unwrap();
    let options = StorageOptions::from_variables(server.environment());
    let bucket = tables::storage::bucket(&root, &options).unwrap();
    let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(memory));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .build_arc()
        .unwrap();
    let config = SessionConfig::new().with_target_partitions(2);
    let ctx = SessionContext::new_with_config_rt(config, Arc::clone(&runtime));
    ctx.register_object_store(&root, bucket.object_store());

    let location = format!("{root}/in/");
    let registry = &runtime.object_store_registry;
    let wanted = Wanted {
        location: &location,
        suffixes: &["txt"],
        partition_by: &[],
    };
    let files = list(wanted, &|url| registry.get_store(url))
        .await
        .unwrap()
        .files;
    let stores = Stores::of(&files, registry.as_ref()).unwrap();
    let declared = Declared {
        location,
        columns: None,
        partition_by: Vec::new(),
        format: Format::Text,
        bytes: Bytes::default(),
        sample_bytes: SAMPLE_BYTES,
        quarantine: None,
        origin: Origin::default(),
    };
    let table = FilesTable::open(declared, files, stores).await.unwrap();
    let plan = ctx
        .read_table(Arc::new(table))
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    server.reset();
    let batches = collect(plan, ctx.task_ctx()).await.unwrap();
    let mut lines: Vec<String> = Vec::with_capacity(rows);
    for batch in &batches {
        let column = datafusion::arrow::array::AsArray::as_string::<i32>(batch.column(0));
        lines.extend(column.iter().flatten().map(str::to_owned));
    }
    lines.sort_unstable();
    assert_eq!(lines.len(), rows);
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(row, line)| *line == format!("{row:029}"))
    );
    let gets = server
        .requests()
        .iter()
        .filter(|request| request.operation == Operation::GetObject)
        .count();
    assert_eq!(gets, requests);
}
