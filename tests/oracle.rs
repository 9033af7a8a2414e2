//! Every driver against a store in memory, through random sequences of operations: drivers/conformance/src/oracle says what is compared.

use std::path::Path;

mod subjects;

fn main() -> std::process::ExitCode {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions/oracle");
    plywood_conformance::oracle::main(subjects::SUBJECTS, &kept)
}
