//! Numbers as people read them.

use crate::workload::Unit;

/// Shows a number with three digits and its unit: `1.23 ms`, `48.1 MB`.
#[must_use]
pub fn value(number: f64, unit: Unit) -> String {
    let (steps, mut shown): (&[&str], f64) = match unit {
        Unit::Seconds => (&["ns", "µs", "ms", "s"], number * 1e9),
        Unit::Bytes => (&["B", "kB", "MB", "GB"], number),
    };
    let mut step = 0;
    // What would round up to four digits belongs to the next unit.
    while shown >= 999.5 && step + 1 < steps.len() {
        shown /= 1000.0;
        step += 1;
    }
    let decimals = match shown {
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    };
    format!("{shown:.decimals$} {}", steps[step])
}

/// Shows how many times as much one number is as another: `3.4 times`, `1.04 times`.
pub(crate) fn times(factor: f64) -> String {
    let decimals = match factor {
        small if small < 1.995 => 2,
        middle if middle < 9.95 => 1,
        _ => 0,
    };
    format!("{factor:.decimals$} times")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits() {
        let table = [
            (0.0, "0.00 ns"),
            (1.5e-6, "1.50 µs"),
            (0.012_34, "12.3 ms"),
            (0.999_9, "1.00 s"),
            (75.0, "75.0 s"),
        ];
        for (seconds, shown) in table {
            assert_eq!(value(seconds, Unit::Seconds), shown);
        }
        assert_eq!(value(48_100_000.0, Unit::Bytes), "48.1 MB");
    }
}
