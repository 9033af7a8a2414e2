//! Every sequence of at most three file operations between two snapshots, on every driver: drivers/conformance/src/sequences says which.

mod subjects;

fn main() -> std::process::ExitCode {
    plywood_conformance::sequences::main(subjects::SUBJECTS)
}
