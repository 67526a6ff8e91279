//! The table crate as its callers use it: whole runs on real folders, with faults, full disks and readers beside them.

mod arrival;
mod care;
mod care_faults;
mod child;
mod disk;
mod every_partition;
mod every_type;
mod expiry;
mod faults;
mod looking;
mod merge;
mod modes;
mod object_store;
mod object_store_leases;
mod partitions;
mod readers;
mod recovery;
mod refusals;
mod replacements;
mod rows;
mod s3_faults;
mod s3_processes;
mod schema_changes;
mod support;
mod table_keys;
mod writers;
