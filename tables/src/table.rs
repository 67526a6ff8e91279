//! A table by its location: what is published, recovery, and the begin of a run. The run itself is [`Staging`].

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use tracing::info;

use crate::commit::Requirements;
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::listeners::{CommitListener, Listeners};
use crate::location::open_store;
use crate::log::{self, Commit, Newest};
use crate::options::{Format, TableOptions};
use crate::recover::{Recovery, recover};
use crate::schema::TableSchema;
use crate::schema_policy::{Agreement, SchemaPolicy, agree};
use crate::staging::{AtRest, Purpose, Staging};
use crate::storage::StorageOptions;
use crate::store::Store;
use crate::transaction::{self, Claim, Committed};

/// A Hive-partitioned table at a location. Holds no lock and no file open; cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) store: Arc<dyn Store>,
    listeners: Listeners,
}

impl Table {
    /// The table at a path, a `file://` URL, or a `memory://` URL of this process, whether or not there is one yet. Touches
    /// nothing.
    ///
    /// ```
    /// let table = tables::Table::at("out/events/")?;
    /// assert!(table.location().ends_with("out/events"));
    /// # Ok::<(), tables::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Table::open`].
    pub fn at(location: &str) -> Result<Self> {
        Self::open(location, &StorageOptions::default())
    }

    /// As [`Table::at`], and on object stores too, which are reached as the options say; see [`crate::storage`].
    ///
    /// # Errors
    /// [`Error::UnsupportedLocation`] for another scheme, the root folder, or a path that is not UTF-8;
    /// [`Error::Store`] where there are no credentials.
    pub fn open(location: &str, options: &StorageOptions) -> Result<Self> {
        Ok(Self::with_store(open_store(location, options)?))
    }

    /// The table on a storage of the caller's, for storages that [`Table::at`] does not know.
    pub fn with_store(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            listeners: Listeners::default(),
        }
    }

    /// The same table, whose commits `listener` hears of: those of runs that begin with this value, and whatever it has not
    /// heard when a run begins with it or it is recovered.
    ///
    /// # Errors
    /// [`Error::Listener`] if its name cannot be that of a file, or another listener of the table has it.
    pub fn with_listener(mut self, listener: Arc<dyn CommitListener>) -> Result<Self> {
        let name = listener.name().to_owned();
        self.listeners
            .add(listener)
            .map_err(|reason| Error::Listener {
                table: self.location().to_owned(),
                name,
                reason,
            })?;
        Ok(self)
    }

    /// The location, for messages.
    pub fn location(&self) -> &str {
        self.store.location()
    }

    /// The newest commit, `None` before the first. Reads the log only, takes no lease, and writes nothing. A commit
    /// counts from its decision: its files may still be on their way into place.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`] and [`Error::UnknownVersion`] name the file that cannot be used.
    pub async fn current(&self) -> Result<Option<Commit>> {
        match log::newest(self.store.as_ref()).await? {
            Some(newest) => log::read_state(self.store.as_ref(), newest.number).await,
            None => Ok(None),
        }
    }

    /// Finishes what an earlier run left: carries a decided commit out, drops everything that was not decided.
    /// Idempotent; [`Table::begin`] does it by itself.
    ///
    /// # Errors
    /// [`Error::LeaseHeld`] while a run is alive: it finishes its own work.
    pub async fn recover(&self) -> Result<Recovery> {
        if log::newest(self.store.as_ref()).await?.is_none()
            && self.store.list("intents").await?.is_empty()
            && self.store.list_staged().await?.is_empty()
        {
            // There is no table, and looking must not make one.
            return Ok(Recovery::default());
        }
        self.store.prepare().await?;
        let (lease, newest) = Lease::acquire(self.store.as_ref(), "recovery").await?;
        let recovered = recover(&self.store, &lease, newest).await;
        if let Ok((_, newest)) = &recovered {
            self.tell(*newest).await;
        }
        lease.release(self.store.as_ref()).await;
        Ok(recovered?.0)
    }

    /// Begins a run: checks the options, takes the lease, recovers, checks the schema against the table's, and
    /// announces what is going to be staged. No row has been read by then.
    ///
    /// `run_id` names the run in the log and in messages. `schema` is that of the rows to be written; their types may
    /// be any spelling of the table's.
    ///
    /// # Errors
    /// [`Error::Options`], [`Error::LeaseHeld`], [`Error::SchemaChanged`], [`Error::PartitioningChanged`],
    /// [`Error::ForeignFiles`]; storage errors if the folder cannot be written.
    pub async fn begin(
        &self,
        run_id: &str,
        options: TableOptions,
        schema: &Schema,
    ) -> Result<Staging> {
        self.begin_for(
            Purpose {
                run_id,
                action: options.mode.action(),
                options,
                transaction: None,
            },
            schema,
        )
        .await
    }

    /// As [`Table::begin`], for any kind of commit.
    pub(crate) async fn begin_for(&self, purpose: Purpose<'_>, schema: &Schema) -> Result<Staging> {
        let opened = self.open_for(&purpose, schema).await?;
        self.stage_on(opened, purpose, schema).await
    }

    /// As [`Table::begin`], unless what the run is about to publish is committed already: by this very run, in a process
    /// that ended before it could tell, or, where the rows would be added once more, by one that was asked for the same.
    /// Then there is nothing to do, the lease is given back, and the commit is returned.
    ///
    /// # Errors
    /// As [`Table::begin`]; [`Error::IntervalCommitted`] for an append of an interval that something else committed.
    pub async fn begin_once(
        &self,
        run_id: &str,
        options: TableOptions,
        schema: &Schema,
        claim: Claim,
    ) -> Result<Begun> {
        let requirements = options.mode.requirements();
        let purpose = Purpose {
            run_id,
            action: options.mode.action(),
            options,
            transaction: Some(claim.transaction.clone()),
        };
        let opened = self.open_for(&purpose, schema).await?;
        let (store, base) = (self.store.as_ref(), opened.base.as_ref());
        let newest = opened.base_number;
        match transaction::find(store, newest, base, run_id, requirements, &claim).await {
            Ok(None) => {
                let staging = self.stage_on(opened, purpose, schema).await?;
                Ok(Begun::Staging(Box::new(staging)))
            }
            Ok(Some(record)) => {
                opened.lease.release(store).await;
                info!(
                    table = self.location(),
                    run_id,
                    commit = record.number,
                    "committed before"
                );
                let totals = opened.base.map(|base| base.totals).unwrap_or_default();
                let committed = Committed::of(record, totals, opened.recovery);
                Ok(Begun::Committed(Box::new(committed)))
            }
            Err(error) => {
                opened.lease.release(store).await;
                Err(error)
            }
        }
    }

    /// What [`Table::begin`] does first: the options are checked, the lease is taken, the table is brought to rest.
    async fn open_for(&self, purpose: &Purpose<'_>, schema: &Schema) -> Result<AtRest> {
        let problems = purpose.options.validate(schema);
        if !problems.is_empty() {
            return Err(Error::Options { problems });
        }
        let store = &self.store;
        store.prepare().await?;
        let (lease, newest) = Lease::acquire(store.as_ref(), purpose.run_id).await?;
        let opened = async {
            let (recovery, newest) = recover(store, &lease, newest).await?;
            self.tell(newest).await;
            let base = match newest {
                Some(newest) => log::read_state(store.as_ref(), newest.number).await?,
                None => None,
            };
            Ok((recovery, newest.map_or(0, |newest| newest.number), base))
        };
        match opened.await {
            Ok((recovery, base_number, base)) => Ok(AtRest {
                lease,
                recovery,
                base,
                base_number,
            }),
            Err(error) => {
                lease.release(store.as_ref()).await;
                Err(error)
            }
        }
    }

    /// What [`Table::begin`] does then: the schema is agreed on, and what is going to be staged is announced.
    async fn stage_on(
        &self,
        opened: AtRest,
        purpose: Purpose<'_>,
        schema: &Schema,
    ) -> Result<Staging> {
        let store = &self.store;
        let (incoming, _) = TableSchema::normalize(schema, &purpose.options.partition_by);
        let announced = async {
            let agreed = self.agree(opened.base.as_ref(), &purpose, incoming).await?;
            Ok((agreed, Staging::announce(store, &opened, &purpose).await?))
        };
        let (agreed, token) = match announced.await {
            Ok(announced) => announced,
            Err(error) => {
                opened.lease.release(store.as_ref()).await;
                return Err(error);
            }
        };
        let (run_id, epoch, mode) = (purpose.run_id, opened.lease.epoch(), purpose.action.mode());
        info!(table = self.location(), run_id, epoch, base = opened.base_number, %mode, "began to stage");
        Ok(Staging::new(
            Arc::clone(store),
            self.listeners.clone(),
            opened,
            purpose,
            agreed,
            token,
        ))
    }

    /// Tells listeners what they have not heard, up to the newest record, which has been carried out.
    async fn tell(&self, newest: Option<Newest>) {
        let newest = newest.map_or(0, |newest| newest.number);
        self.listeners.tell(self.store.as_ref(), newest).await;
    }

    /// The schema that the run writes: the table's, as far as the schema policy of the run lets it change.
    async fn agree(
        &self,
        base: Option<&Commit>,
        purpose: &Purpose<'_>,
        run: TableSchema,
    ) -> Result<Agreement> {
        let Some(base) = base else {
            return match self.store.any_published().await? {
                Some(example) => Err(Error::ForeignFiles {
                    table: self.location().to_owned(),
                    example,
                }),
                None => Ok(Agreement::new_schema(None, run)),
            };
        };
        let same_folders = base.schema.partition_by() == run.partition_by();
        let contract = purpose.options.contract;
        let Requirements { replaces_table, .. } = purpose.action.requirements();
        let replaces = replaces_table && contract == SchemaPolicy::Evolve;
        let (format, before) = (purpose.options.format, base.format());
        let fits =
            same_folders && format == before && base.schema.differences(run.columns()).is_empty();
        if replaces && !fits {
            return Ok(Agreement::new_schema(Some(&base.schema), run));
        }
        if format != before {
            return Err(Error::FormatChanged {
                table: self.location().to_owned(),
                table_format: before.name(),
                run_format: format.name(),
            });
        }
        if !same_folders {
            return Err(Error::PartitioningChanged {
                table: self.location().to_owned(),
                table_columns: base.schema.partition_by().to_vec(),
                run_columns: run.partition_by().to_vec(),
            });
        }
        let mut agreed =
            agree(&base.schema, &run, contract).map_err(|differences| Error::SchemaChanged {
                table: self.location().to_owned(),
                contract,
                differences,
            })?;
        if agreed.widened && !format.is_read_back() {
            self.keep_files(base, &run, format)?;
            agreed.widened = false;
        }
        for change in &agreed.changes {
            info!(table = self.location(), %change, "the schema of the table is going to change");
        }
        Ok(agreed)
    }

    /// Published files can stay as they are where a column gets a wider type: their text means the same.
    fn keep_files(&self, base: &Commit, run: &TableSchema, format: Format) -> Result<()> {
        let differences = base.schema.differences(run.columns());
        let rewritten = differences.iter().find(|difference| {
            let (Some(from), Some(to)) = (&difference.table, &difference.run) else {
                return false;
            };
            !(base.schema.is_partition(&difference.column)
                || format.is_text() && is_same_text(from, to))
        });
        match rewritten {
            None => Ok(()),
            Some(difference) => Err(Error::NotReadBack {
                table: self.location().to_owned(),
                format: format.name(),
                problem: format!(
                    "{difference}, so that they would have to be rewritten; cast the column, or publish with mode \
                     'replace'"
                ),
            }),
        }
    }
}

/// Whether the text of a value of `from` is that of the same value of `to`.
fn is_same_text(from: &DataType, to: &DataType) -> bool {
    from.is_integer() && to.is_integer() || from.is_decimal() && to.is_decimal()
}

/// How [`Table::begin_once`] went.
#[derive(Debug)]
pub enum Begun {
    /// The run may stage its rows.
    Staging(Box<Staging>),
    /// They are committed.
    Committed(Box<Committed>),
}
