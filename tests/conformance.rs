//! The suite that every driver passes, on every driver: drivers/conformance says how to run and how to extend it.

mod subjects;

fn main() -> std::process::ExitCode {
    plywood_conformance::main(subjects::SUBJECTS)
}
