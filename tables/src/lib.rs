//! A Hive-partitioned Parquet table: layout, partitioned writer, staging, commit. Knows nothing of pipelines or Ballista.
