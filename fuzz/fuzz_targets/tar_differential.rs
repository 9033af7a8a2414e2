#![no_main]
#![allow(
    clippy::disallowed_methods,
    reason = "of the macro, which writes down an input where it is asked to"
)]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| plywood_fuzz::property::tar_differential::check(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    plywood_fuzz::mutate::tar(data, size, max_size, seed, &mut fuzzer_mutate)
});
