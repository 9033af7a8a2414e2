//! Why the service could not be started or kept up.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A service that ended for a reason of its own. The message does not repeat its source; print the whole chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The socket could not be made.
    #[error("{operation} {}", path.display())]
    Socket {
        /// What was tried, as a verb: `bind`.
        operation: &'static str,
        /// The socket.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Somebody serves at the socket already.
    #[error("another process is serving at {}", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The metrics could not be offered.
    #[error("offer metrics at {address}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A part of this process could not be started.
    #[error("start {what}")]
    Start {
        /// Which part: `a thread`.
        what: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The transport failed.
    #[error("serve")]
    Transport {
        /// The reason.
        #[source]
        source: tonic::transport::Error,
    },
}
