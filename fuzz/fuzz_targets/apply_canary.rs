#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| plywood_fuzz::property::apply_canary::check(data));
