//! Memory that the C library's allocator keeps, where that is glibc's; others give it back by themselves.

/// What is as large gets a mapping of its own: glibc's default, which it raises by itself up to 32 MiB unless it is set (`mallopt(3)`).
#[cfg(target_env = "gnu")]
const LARGE_BYTES: libc::c_int = 128 << 10;

/// Has all threads of this process share one heap, so that what one frees another uses, and keeps large buffers out of it: they take
/// memory only where they are written, and no holes are left where they were. Before any thread is started; a second call changes nothing.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, LARGE_BYTES)] {
        // SAFETY: it sets a number of the allocator's own, and takes no pointers.
        let _taken = unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives free memory back to the system.
pub fn give_back() {
    // SAFETY: it takes no pointers, and what is in use stays where it is.
    #[cfg(target_env = "gnu")]
    let _given = unsafe { libc::malloc_trim(0) };
}
