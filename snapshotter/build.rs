//! Generates the service from proto/, without a `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["snapshots.proto"], ["proto"])?;
    // The client is what the tests and tools speak with.
    tonic_prost_build::configure().build_transport(true).compile_fds(descriptors)?;
    Ok(())
}
