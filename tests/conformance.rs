//! The suite that every driver passes, on every driver: drivers/conformance says how to run and how to extend it.
#![allow(clippy::disallowed_methods, reason = "a program is built that cases run")]

mod programs;
mod subjects;

fn main() -> std::process::ExitCode {
    // Not again in the process of each case.
    if !plywood_conformance::runs_one_case() {
        programs::build();
    }
    plywood_conformance::main(subjects::SUBJECTS)
}
