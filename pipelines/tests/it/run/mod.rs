//! The binary end to end: real processes, real HTTP, real files.

mod launchpad;
mod private;
mod published;
mod tpch;

mod bad_input;
mod care;
mod ceiling;
mod cluster;
mod cluster_chaos;
mod cluster_faults;
mod cluster_s3;
mod cluster_tls;
mod cluster_tpch;
mod commands;
mod completeness;
mod depth;
mod faults;
mod file_calls;
mod file_pipelines;
mod formats;
mod incremental;
mod large_files;
mod members;
mod outside;
mod own_tables;
mod quarantine;
mod readers;
mod replay;
mod resume;
mod sample;
mod schema_changes;
mod signals;
mod surroundings;
mod web;
mod windows;
