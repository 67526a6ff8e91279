//! Writing the rows of a run into staged files. Owns the plan that writes, its operator, the encoder and the formats of
//! files; does not know what is published or how it is decided.
//!
//! | strategy | when | open files | bytes |
//! |---|---|---|---|
//! | `sorted` | the table has an order | one per stream | a function of the rows alone |
//! | `gathered` | it has none | 256, shared by the streams | depend on how the rows arrive |
//!
//! Encoding happens where the rows are: in the poll of the operator's stream, as every operator of the engine does its
//! work. One stream per input partition is then the parallelism that the user set, and the encoder's memory is
//! accounted where it is held. A thread of its own per file would escape both. Only the disk is waited for elsewhere
//! (`store::local` writes on the blocking pool).

mod by_partition;
mod codec;
mod discard;
mod encoder;
mod exec;
pub(crate) mod fence;
pub(crate) mod format;
mod gathered;
mod lazy_store;
mod names;
mod partition_buffers;
mod partition_index;
mod partition_writers;
mod plan;
mod rows;
mod scatter;
mod single;
mod sorted;
mod spec;
mod split;
pub(crate) mod task_partition;

pub use codec::{decode_operator, encode_operator};
pub use exec::PartitionedWriteExec;
pub(crate) use plan::plan;
pub use rows::StagedFile;
pub(crate) use rows::{Rows, read_rows};
pub use single::{FileError, FileWriter, WrittenFile};
pub(crate) use spec::{WriteSpec, rows_folder};
pub(crate) use split::{Split, SplitKeys, sample_plan};
