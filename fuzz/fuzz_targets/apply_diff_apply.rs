#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| plywood_fuzz::property::apply_diff_apply::check(data));
