//! What connections between the processes of a cluster may carry, and how long they may take.

use ballista_core::extension::SessionConfigExt;
use ballista_core::utils::GrpcClientConfig;
use datafusion::prelude::SessionConfig;

/// A message between the processes of a cluster has this many bytes at most.
pub const MESSAGE_BYTES: usize = 64 << 20;

/// How long a connection may take, how often it is looked after, and what it may carry at once.
pub(super) fn client_config() -> GrpcClientConfig {
    let config = SessionConfig::new_with_ballista()
        .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES);
    GrpcClientConfig::from(&config.ballista_config())
}
