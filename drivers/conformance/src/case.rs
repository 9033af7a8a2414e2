//! A named case.

use std::fmt;

use crate::bench::Bench;
use crate::need::Need;

/// One thing that every driver does, told by a function that panics where a driver does not.
#[derive(Clone, Copy)]
pub struct Case {
    /// `group::what_holds`; the trial's name is this behind the driver's.
    pub name: &'static str,
    /// What the driver and the machine must have; where one is missing the case is reported ignored.
    pub needs: &'static [Need],
    /// Does it, on a driver that has no layers yet.
    pub run: fn(&mut Bench),
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Case")
            .field("name", &self.name)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

/// A theme's table: its name, then each case's function and what it needs.
macro_rules! cases {
    ($group:literal; $($name:ident: [$($need:expr),* $(,)?]),+ $(,)?) => {
        pub(crate) const CASES: &[crate::case::Case] = &[$(
            crate::case::Case {
                name: concat!($group, "::", stringify!($name)),
                needs: {
                    #[allow(unused_imports, reason = "a case may need nothing")]
                    use crate::need::Need::*;
                    &[$($need),*]
                },
                run: $name,
            }
        ),+];
    };
}
pub(crate) use cases;
