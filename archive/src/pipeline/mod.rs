//! Unpacking and hashing on a thread of their own, a few buffers ahead of the consumer.

mod layer_stream;
mod read_ahead;

pub use layer_stream::{LayerDigests, LayerStream};
pub use read_ahead::ReadAhead;
