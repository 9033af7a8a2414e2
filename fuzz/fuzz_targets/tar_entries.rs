#![no_main]
#![allow(
    clippy::disallowed_methods,
    reason = "of the macro, which writes down an input where it is asked to"
)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| plywood_fuzz::property::tar_entries::check(data));
