//! Memory that the C library's allocator keeps, where that is glibc's; others give it back by themselves.

/// Has all threads of this process share one heap, so that what one frees another uses. Before any thread is started; a second call changes
/// nothing.
pub fn share_one_heap() {
    // SAFETY: it sets a number of the allocator's own, and takes no pointers.
    #[cfg(target_env = "gnu")]
    let _taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Gives free memory back to the system.
pub fn give_back() {
    // SAFETY: it takes no pointers, and what is in use stays where it is.
    #[cfg(target_env = "gnu")]
    let _given = unsafe { libc::malloc_trim(0) };
}
