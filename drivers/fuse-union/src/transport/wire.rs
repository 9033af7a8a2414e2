//! Reading the bytes of a request.

use rustix::io::Errno;
use zerocopy::FromBytes;

use crate::request::{Answer, NewTime, Time};

/// What is left of a request's bytes.
pub(super) struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Takes a struct.
    pub(super) fn take<T: FromBytes>(&mut self) -> Answer<T> {
        let (taken, rest) = T::read_from_prefix(self.0).map_err(|_| Errno::IO)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Takes a name, which ends in NUL.
    pub(super) fn name(&mut self) -> Answer<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Errno::IO)?;
        let (name, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(name)
    }

    /// Takes bytes.
    pub(super) fn bytes(&mut self, length: u32) -> Answer<&'a [u8]> {
        let length = usize::try_from(length).map_err(|_| Errno::IO)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Errno::IO)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// The kernel sends seconds before 1970 in two's complement.
pub(super) fn time(seconds: u64, nanoseconds: u32) -> Time {
    Time { seconds: seconds.cast_signed(), nanoseconds }
}

/// A time of `fuse_setattr_in`, if the bit that says it is there is set.
pub(super) fn new_time(set: bool, now: bool, seconds: u64, nanoseconds: u32) -> Option<NewTime> {
    match (set, now) {
        (false, _) => None,
        (true, true) => Some(NewTime::Now),
        (true, false) => Some(NewTime::At(time(seconds, nanoseconds))),
    }
}
