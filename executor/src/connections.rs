//! Connections to other executors, kept for the next fetch of shuffled rows. Ballista has a pool of its own, but not for
//! an execution engine that is not its own (`mod client_pool` of `ballista-executor` 55 is private).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::Result;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::utils::GrpcClientConfig;

/// A connection that nobody used for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

type Key = (String, u16, GrpcClientConfig);

/// Connections that nobody uses at the moment, with the time since when, the newest last.
type Idle = HashMap<Key, Vec<(BallistaClient, Instant)>>;

/// The connections of this executor.
#[derive(Default)]
pub(crate) struct Connections {
    idle: Arc<Mutex<Idle>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    /// The one that was used last, after closing those that were not for long.
    fn take(&self, key: &Key) -> Option<BallistaClient> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        forget_old(&mut idle);
        let (client, _) = idle.get_mut(key)?.pop()?;
        Some(client)
    }
}

fn forget_old(idle: &mut Idle) {
    idle.retain(|_, connections| {
        connections.retain(|(_, since)| since.elapsed() < IDLE_TIMEOUT);
        !connections.is_empty()
    });
}

#[async_trait::async_trait]
impl BallistaClientPool for Connections {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        customize_endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        let key = (String::from(host), port, config.clone());
        let client = match self.take(&key) {
            Some(client) => client,
            None => {
                BallistaClient::try_new(
                    host,
                    port,
                    config.max_message_size,
                    config.use_tls,
                    customize_endpoint,
                    config.io_retries_times,
                    config.io_retry_wait_time_ms,
                    config.initial_connection_window_size,
                    config.initial_stream_window_size,
                )
                .await?
            }
        };
        let idle = Arc::clone(&self.idle);
        let give_back = move |client| {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            let connections = idle.entry(key).or_default();
            connections.push((client, Instant::now()));
        };
        Ok(PooledClient::new(client, Box::new(give_back)))
    }

    async fn evict_idle(&self) {
        forget_old(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
