//! The JSON documents of images: descriptors, indexes, manifests, configs.

mod config;
mod descriptor;
mod manifest;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::ImageError;

pub use config::{Config, Execution, HistoryRecord};
pub(crate) use descriptor::{CONTAINERD_NAME, Descriptor, REFERENCE_NAME, digest_text};
pub(crate) use manifest::{Index, Manifest};

/// The longest manifest, index or config that is read, in bytes.
pub const DOCUMENT_LIMIT_BYTES: u64 = 4 << 20;

/// Parses the document `member` of `location`.
pub(crate) fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    location: &str,
    member: &str,
) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Document {
        location: location.to_owned(),
        member: member.to_owned(),
        source,
    })
}

/// Takes `null` for an empty value, as Go writes it.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;

    #[test]
    fn numbers_of_unknown_members_are_kept_to_the_last_digit() {
        for number in ["1.0000000000000001e+89", "0.1", "18446744073709551615", "-9223372036854775808"] {
            let document = parse::<Value>(format!("[{number}]").as_bytes(), "input", "config").unwrap();
            assert_eq!(serde_json::to_string(&document).unwrap(), format!("[{number}]"));
        }
    }
}
