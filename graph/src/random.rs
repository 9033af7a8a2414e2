//! Ids that are never used a second time.

use plywood_archive::digest::Digest;
use plywood_graphdriver::LayerId;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::GraphError;

/// A layer id of 16 random bytes: none is ever made twice.
pub(crate) fn random_layer_id() -> Result<LayerId, GraphError> {
    random_bytes().map(LayerId::from_bytes)
}

/// 32 random hexadecimal digits.
pub(crate) fn random_hex() -> Result<String, GraphError> {
    random_layer_id().map(|id| id.as_str().to_owned())
}

/// 64 random hexadecimal digits, as containers' ids are.
pub(crate) fn random_long_hex() -> Result<String, GraphError> {
    random_bytes().map(|bytes| Digest::from_bytes(bytes).hex())
}

/// Bytes of the kernel's generator.
pub(crate) fn random_bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], GraphError> {
    let mut bytes = [0; LENGTH];
    let mut filled = 0;
    while filled < LENGTH {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(GraphError::io("read", "/dev/urandom")(error)),
        }
    }
    Ok(bytes)
}
