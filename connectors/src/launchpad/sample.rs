//! The bundled sample: a Launchpad look-alike on a port of this machine. What it serves is `launchpad-fake`'s.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use launchpad_fake::{LaunchpadFake, Options, SAMPLE_END, SAMPLE_MEMBER, SAMPLE_START};

use super::variables::WEB_ROOT;
use crate::option::OptionValue;
use crate::sample::{Sample, Served};
use crate::source::Variables;

/// The sample, where neither an option nor the environment says which Launchpad is read.
pub(super) fn wanted(options: &[&str], variable: Variables<'_>) -> Option<Arc<dyn Sample>> {
    let unsaid = variable(WEB_ROOT).is_none_or(|root| root.is_empty());
    (unsaid && !options.contains(&"service_root")).then(|| Arc::new(LookAlike) as _)
}

#[derive(Debug)]
struct LookAlike;

#[async_trait]
impl Sample for LookAlike {
    fn parameters(&self) -> &[(&'static str, &'static str)] {
        &[
            ("member", SAMPLE_MEMBER),
            ("data_date_start", SAMPLE_START),
            ("data_date_end", SAMPLE_END),
        ]
    }

    fn identity(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(WEB_ROOT.to_owned(), "sample".to_owned())])
    }

    async fn start(&self) -> Result<Served, Box<dyn Error + Send + Sync>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let fake = LaunchpadFake::start(Options::default(), address).await?;
        let root = fake.root();
        let announcement = format!(
            "reading the bundled sample of Launchpad, served at {root}; for the live service set LP_WEB_ROOT=production \
             and give --set member=…, --from and --to"
        );
        Ok(Served {
            kind: "LAUNCHPAD".to_owned(),
            options: BTreeMap::from([("service_root".to_owned(), OptionValue::Plain(root.into()))]),
            announcement,
            stop: Box::pin(fake.shutdown()),
        })
    }
}
