//! How much memory a call takes.

use peak_alloc::PeakAlloc;

#[global_allocator]
static METER: PeakAlloc = PeakAlloc;

/// Runs `call`, and fails where it held more than `limit_bytes` at once beyond what was held before. Memory that C libraries
/// take is not counted; libFuzzer's own limit on the process is for those.
pub fn at_most<T>(limit_bytes: usize, call: impl FnOnce() -> T) -> T {
    let before = METER.current_usage();
    METER.reset_peak_usage();
    let answer = call();
    let held = METER.peak_usage().saturating_sub(before);
    assert!(held <= limit_bytes, "{held} bytes were held, where {limit_bytes} must do");
    answer
}
