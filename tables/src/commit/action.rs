//! What the kinds of commits do, as traits: those that publish rows and those of maintenance. The answers of each are in
//! the file of its name.

use async_trait::async_trait;

use super::Change;
use super::base::Base;
use super::kind::CommitAction;
use crate::error::Result;
use crate::log::Commit;
use crate::staging::Staging;
use crate::write::StagedFile;

/// A kind of commit that brings rows: what a publish mode does with those that are published.
#[async_trait]
pub(crate) trait PublishAction: CommitAction {
    /// What it does to a table that is there, for people who are asked whether they want it.
    fn effect(&self) -> &'static str;

    /// Works out what publishing these files changes, and makes those that replace others. What it leaves in `base` stays
    /// as it is.
    async fn prepare(&self, base: &mut Base<'_>, produced: Vec<StagedFile>) -> Result<Change>;
}

/// A kind of commit of maintenance. It brings no rows, and is carried out by `maintenance`.
pub(crate) trait MaintenanceAction: CommitAction {
    /// What is told of it.
    type Report;

    /// Chooses what is to be done on `base`, and makes the files that replace others.
    fn prepare(
        self,
        run: &Staging,
        base: &Commit,
    ) -> impl Future<Output = Result<(Self::Report, Change)>> + Send;
}
