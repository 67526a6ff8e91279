//! `pipelines launchpad-standin`: a Launchpad look-alike on a port of this machine.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use launchpad_fake::{Drift, Faults, LaunchpadFake, OAuthRule, Options, RetryAfter};

use super::exit::ExitStatus;
use super::session::Session;
use crate::signals;
use runner::error::RunError;
use runner::stop::Stop;

/// What the look-alike serves and how it misbehaves.
#[derive(Debug, clap::Args)]
pub(super) struct FakeArguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Bugs to generate
    #[arg(long, default_value_t = 200)]
    bugs: u32,
    /// Seed of the generator: the same seed serves the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Serve the recorded responses of this folder instead of generated ones
    #[arg(long, value_name = "DIR")]
    replay: Option<PathBuf>,
    #[command(flatten)]
    faults: FaultArguments,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Faults")]
struct FaultArguments {
    /// Wait before every answer
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    latency: Option<Duration>,
    /// Answer every N-th request with 503
    #[arg(long, value_name = "N")]
    fail_every: Option<u32>,
    /// Make those 503 an HTML page
    #[arg(long)]
    html_503: bool,
    /// Answer every N-th request with 429
    #[arg(long, value_name = "N")]
    rate_limit_every: Option<u32>,
    /// The Retry-After of those 429
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    retry_after: u32,
    /// Close the connection in the middle of every N-th answer
    #[arg(long, value_name = "N")]
    drop_every: Option<u32>,
    /// Cut the body of every N-th answer in half
    #[arg(long, value_name = "N")]
    truncate_every: Option<u32>,
    /// Send something that is not JSON as every N-th answer
    #[arg(long, value_name = "N")]
    malformed_json_every: Option<u32>,
    /// Send an HTML page with status 200 as every N-th answer
    #[arg(long, value_name = "N")]
    html_200_every: Option<u32>,
    /// Time out searches whose page size is above this
    #[arg(long, value_name = "ROWS")]
    slow_query_page_over: Option<u32>,
    /// After every N search pages, let rows appear and disappear
    #[arg(long, value_name = "N")]
    drift_every: Option<u32>,
    /// Bugs whose entry lacks date_created
    #[arg(long, value_name = "BUG", value_delimiter = ',')]
    missing_field_bugs: Vec<u32>,
    /// Bugs that answer with something that is not JSON
    #[arg(long, value_name = "BUG", value_delimiter = ',')]
    malformed_bugs: Vec<u32>,
    /// Bugs that answer 500
    #[arg(long, value_name = "BUG", value_delimiter = ',')]
    broken_bugs: Vec<u32>,
    /// Append -gzip to ETags, as the real front end does
    #[arg(long)]
    etag_gzip: bool,
    /// Accept only this OAuth token
    #[arg(long, value_name = "TOKEN", requires = "require_token_secret")]
    require_token: Option<String>,
    /// The secret of that token
    #[arg(long, value_name = "SECRET", requires = "require_token")]
    require_token_secret: Option<String>,
}

impl FakeArguments {
    fn options(&self) -> Options {
        let faults = &self.faults;
        let set = |bugs: &[u32]| bugs.iter().copied().collect::<BTreeSet<_>>();
        let oauth = faults
            .require_token
            .clone()
            .zip(faults.require_token_secret.clone())
            .map(|(token, secret)| OAuthRule {
                required: true,
                token,
                secret,
                expired_token: None,
            });
        Options {
            seed: self.seed,
            bugs: self.bugs,
            replay: self.replay.clone(),
            oauth,
            faults: Faults {
                latency: faults.latency,
                fail_every: faults.fail_every,
                html_503: faults.html_503,
                rate_limit_every: faults.rate_limit_every,
                retry_after: RetryAfter(faults.retry_after),
                drop_every: faults.drop_every,
                truncate_every: faults.truncate_every,
                malformed_json_every: faults.malformed_json_every,
                html_200_every: faults.html_200_every,
                slow_query_page_over: faults.slow_query_page_over,
                drifting: faults.drift_every.map(|every| Drift {
                    every,
                    insert: 1,
                    remove: 1,
                }),
                missing_field_bugs: set(&faults.missing_field_bugs),
                malformed_bugs: set(&faults.malformed_bugs),
                broken_bugs: set(&faults.broken_bugs),
                etag_gzip: faults.etag_gzip,
            },
            ..Options::default()
        }
    }
}

/// Serves until a signal comes. The address is the only thing on standard output, so that a script can read it.
pub(super) async fn serve(
    session: &Session,
    arguments: &FakeArguments,
) -> Result<ExitStatus, RunError> {
    let stop = Stop::default();
    signals::listen(&stop, session.printer)?;
    let address = SocketAddr::new(arguments.bind, arguments.port);
    let fake = LaunchpadFake::start(arguments.options(), address)
        .await
        .map_err(|error| RunError::Sample(Box::new(error)))?;
    session.printer.data(fake.root());
    session.printer.say(
        "Launchpad look-alike; read it with LP_WEB_ROOT set to this address, end it with Ctrl-C",
    );
    stop.asked().await;
    fake.shutdown().await;
    Ok(ExitStatus::Success)
}
