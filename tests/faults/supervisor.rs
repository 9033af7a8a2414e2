//! Sees every system call on files that a program makes, in one order over all its threads, and lets it fail or kills the program there.
//!
//! A seccomp filter stops the program at each of these calls until it is told how to go on (`seccomp_unotify(2)`). So what is numbered is
//! all that `SQLite` and every other library asks of the kernel too, whichever way they do it.
#![allow(unsafe_code, reason = "seccomp's listener has no safe interface; each block does one call")]

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Where the listener is in the program that is watched: the number that the watcher takes it by.
const LISTENER: i32 = 700;
/// A program that makes no call and does not end for so long hangs.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest path.
const PATH_BYTES: usize = 4096;

/// Whether a call changes something, or only looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Changes,
    Looks,
}

/// Where a call's arguments say what file it is about.
#[derive(Debug, Clone, Copy)]
enum About {
    /// The descriptor in the first argument.
    Descriptor,
    /// A path at this argument.
    Path(usize),
    /// A folder's descriptor at this argument, and a path in the next one.
    At(usize),
    /// No file: the new mount API.
    Mounts,
}

use About::{At, Descriptor, Mounts, Path};
use Sort::{Changes, Looks};

/// All calls on files. Those that open files are told apart by their flags.
const CALLS: &[(i64, &str, About, Sort)] = &[
    (libc::SYS_open, "open", Path(0), Looks),
    (libc::SYS_openat, "openat", At(0), Looks),
    (libc::SYS_openat2, "openat2", At(0), Looks),
    (libc::SYS_read, "read", Descriptor, Looks),
    (libc::SYS_pread64, "pread64", Descriptor, Looks),
    (libc::SYS_getdents64, "getdents64", Descriptor, Looks),
    (libc::SYS_stat, "stat", Path(0), Looks),
    (libc::SYS_lstat, "lstat", Path(0), Looks),
    (libc::SYS_fstat, "fstat", Descriptor, Looks),
    (libc::SYS_statx, "statx", At(0), Looks),
    (libc::SYS_newfstatat, "newfstatat", At(0), Looks),
    (libc::SYS_statfs, "statfs", Path(0), Looks),
    (libc::SYS_fstatfs, "fstatfs", Descriptor, Looks),
    (libc::SYS_readlink, "readlink", Path(0), Looks),
    (libc::SYS_readlinkat, "readlinkat", At(0), Looks),
    (libc::SYS_access, "access", Path(0), Looks),
    (libc::SYS_faccessat2, "faccessat2", At(0), Looks),
    (libc::SYS_getxattr, "getxattr", Path(0), Looks),
    (libc::SYS_lgetxattr, "lgetxattr", Path(0), Looks),
    (libc::SYS_fgetxattr, "fgetxattr", Descriptor, Looks),
    (libc::SYS_listxattr, "listxattr", Path(0), Looks),
    (libc::SYS_llistxattr, "llistxattr", Path(0), Looks),
    (libc::SYS_flistxattr, "flistxattr", Descriptor, Looks),
    (libc::SYS_lseek, "lseek", Descriptor, Looks),
    (libc::SYS_write, "write", Descriptor, Changes),
    (libc::SYS_writev, "writev", Descriptor, Changes),
    (libc::SYS_pwrite64, "pwrite64", Descriptor, Changes),
    (libc::SYS_pwritev, "pwritev", Descriptor, Changes),
    (libc::SYS_copy_file_range, "copy_file_range", About::Descriptor, Changes),
    (libc::SYS_sendfile, "sendfile", Descriptor, Changes),
    (libc::SYS_ftruncate, "ftruncate", Descriptor, Changes),
    (libc::SYS_fallocate, "fallocate", Descriptor, Changes),
    (libc::SYS_mkdir, "mkdir", Path(0), Changes),
    (libc::SYS_mkdirat, "mkdirat", At(0), Changes),
    (libc::SYS_mknodat, "mknodat", At(0), Changes),
    (libc::SYS_symlinkat, "symlinkat", At(1), Changes),
    (libc::SYS_linkat, "linkat", At(2), Changes),
    (libc::SYS_rename, "rename", Path(0), Changes),
    (libc::SYS_renameat, "renameat", At(0), Changes),
    (libc::SYS_renameat2, "renameat2", At(0), Changes),
    (libc::SYS_unlink, "unlink", Path(0), Changes),
    (libc::SYS_rmdir, "rmdir", Path(0), Changes),
    (libc::SYS_unlinkat, "unlinkat", At(0), Changes),
    (libc::SYS_chmod, "chmod", Path(0), Changes),
    (libc::SYS_fchmod, "fchmod", Descriptor, Changes),
    (libc::SYS_fchmodat, "fchmodat", At(0), Changes),
    (libc::SYS_fchmodat2, "fchmodat2", At(0), Changes),
    (libc::SYS_fchown, "fchown", Descriptor, Changes),
    (libc::SYS_fchownat, "fchownat", At(0), Changes),
    (libc::SYS_utimensat, "utimensat", At(0), Changes),
    (libc::SYS_setxattr, "setxattr", Path(0), Changes),
    (libc::SYS_lsetxattr, "lsetxattr", Path(0), Changes),
    (libc::SYS_fsetxattr, "fsetxattr", Descriptor, Changes),
    (libc::SYS_removexattr, "removexattr", Path(0), Changes),
    (libc::SYS_lremovexattr, "lremovexattr", Path(0), Changes),
    (libc::SYS_fremovexattr, "fremovexattr", Descriptor, Changes),
    (libc::SYS_fsync, "fsync", Descriptor, Changes),
    (libc::SYS_fdatasync, "fdatasync", Descriptor, Changes),
    (libc::SYS_syncfs, "syncfs", Descriptor, Changes),
    (libc::SYS_flock, "flock", Descriptor, Changes),
    (libc::SYS_fcntl, "fcntl", Descriptor, Changes),
    (libc::SYS_ioctl, "ioctl", Descriptor, Changes),
    (libc::SYS_mount, "mount", Path(1), Changes),
    (libc::SYS_umount2, "umount2", Path(0), Changes),
    (libc::SYS_move_mount, "move_mount", At(2), Changes),
    (libc::SYS_open_tree, "open_tree", At(0), Changes),
    (libc::SYS_mount_setattr, "mount_setattr", Mounts, Changes),
    (libc::SYS_fsopen, "fsopen", Mounts, Changes),
    (libc::SYS_fsconfig, "fsconfig", Mounts, Changes),
    (libc::SYS_fsmount, "fsmount", Mounts, Changes),
];

/// A call that the program is about to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: &'static str,
    pub sort: Sort,
    /// The file that it is about; empty where it is about none.
    pub path: String,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Go,
    /// It is not made, and answers this error.
    Fail(i32),
    /// It is not made, and the program is killed.
    Kill,
    /// The program is sent this signal first; then the call is made.
    Signal(Signal),
}

/// Runs a program under watch. `decide` is asked about every call on a file of some file system, and on mounts; what goes to
/// pipes and to the standard streams is none.
///
/// # Panics
/// Where the program hangs.
pub fn watch(command: &mut Command, decide: &mut dyn FnMut(&Call) -> Verdict) -> ExitStatus {
    let filter = filter();
    // SAFETY: the closure runs between fork and exec, and only makes system calls.
    unsafe { command.pre_exec(move || install(&filter)) };
    let mut child = command.spawn().unwrap();
    let listener = listener_of(child.id());
    while let Some(notice) = next(&listener) {
        let verdict = seen(&notice).map_or(Verdict::Go, |call| decide(&call));
        match verdict {
            Verdict::Kill => {
                child.kill().unwrap();
                break;
            }
            Verdict::Signal(signal) => kill_process(Pid::from_child(&child), signal).unwrap(),
            Verdict::Go | Verdict::Fail(_) => {}
        }
        answer(&listener, notice.id, verdict);
    }
    child.wait().unwrap()
}

/// What the child of a spawn writes where it cannot execute the program: it must get through, because the parent waits for it and
/// does not listen yet (std, `sys/process/unix/unix.rs`).
const EXEC_FAILED_BYTES: u32 = 8;
/// Where `struct seccomp_data` has the length that is given to `write(2)`.
const LENGTH_AT: u32 = 32;

/// The filter's program: each of the calls is reported, and all others are let go.
fn filter() -> Vec<libc::sock_filter> {
    let step = |code: u32, jt: usize, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: u8::try_from(jt).unwrap(),
        jf,
        k,
    };
    let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let jump = |jt, jf, k| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, k);
    let answer = |answer| step(libc::BPF_RET | libc::BPF_K, 0, 0, answer);
    let write = u32::try_from(libc::SYS_write).unwrap();
    let mut steps = vec![load(0), jump(0, 3, write), load(LENGTH_AT), jump(0, 1, EXEC_FAILED_BYTES)];
    steps.extend([answer(libc::SECCOMP_RET_ALLOW), load(0)]);
    for (index, (number, ..)) in CALLS.iter().enumerate() {
        steps.push(jump(CALLS.len() - index, 0, u32::try_from(*number).unwrap()));
    }
    steps.extend([answer(libc::SECCOMP_RET_ALLOW), answer(libc::SECCOMP_RET_USER_NOTIF)]);
    steps
}

fn install(filter: &[libc::sock_filter]) -> std::io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(0),
        filter: filter.as_ptr().cast_mut(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: the call takes no pointer.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: `program` and what it points to live as long as the call.
    let listener = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&program))
    };
    let listener = i32::try_from(listener).unwrap_or(-1);
    // SAFETY: the call takes no pointer. The copy is not closed by exec.
    if listener < 0 || unsafe { libc::dup2(listener, LISTENER) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

fn listener_of(process: u32) -> OwnedFd {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    pidfd_getfd(handle, LISTENER, PidfdGetfdFlags::empty()).unwrap()
}

/// The next call; `None` once the program has ended.
fn next(listener: &OwnedFd) -> Option<libc::seccomp_notif> {
    loop {
        let mut polled = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let patience = i32::try_from(PATIENCE.as_millis()).unwrap();
        // SAFETY: one descriptor is asked about, in memory of this function's.
        let ready = unsafe { libc::poll(&raw mut polled, 1, patience) };
        assert!(ready != 0, "the program hangs");
        if polled.revents & libc::POLLIN == 0 {
            if polled.revents & (libc::POLLHUP | libc::POLLERR) != 0 {
                return None;
            }
            continue;
        }
        // SAFETY: all zeros are a notice, as the kernel wants it.
        let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one notice into memory of this function's.
        let received =
            unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notice) };
        // It fails where the program was killed in between.
        if received == 0 {
            return Some(notice);
        }
    }
}

fn answer(listener: &OwnedFd, id: u64, verdict: Verdict) {
    let (error, flags) = match verdict {
        Verdict::Fail(error) => (-error, 0),
        _ => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE),
    };
    let mut response = libc::seccomp_notif_resp { id, val: 0, error, flags: u32::try_from(flags).unwrap() };
    // SAFETY: the kernel reads one response out of memory of this function's. It fails where the program is gone, which `next` sees.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) };
}

/// The call, where it is one on a file.
fn seen(notice: &libc::seccomp_notif) -> Option<Call> {
    let (_, name, about, sort) =
        CALLS.iter().find(|(number, ..)| *number == i64::from(notice.data.nr)).copied()?;
    let arguments = &notice.data.args;
    let path = match about {
        Descriptor => {
            // Standard streams are not the program's own.
            if arguments[0] <= 2 {
                return None;
            }
            descriptor(notice.pid, arguments[0])
        }
        Path(place) => text(notice.pid, arguments[place]),
        At(place) => {
            let name = text(notice.pid, arguments[place + 1]);
            let folder = descriptor(notice.pid, arguments[place]);
            if name.starts_with('/') { name } else { format!("{folder}/{name}") }
        }
        Mounts => String::new(),
    };
    let of_mounts = matches!(about, Mounts) || path.starts_with("anon_inode:[mount");
    let is_file = path.starts_with('/') && !path.starts_with("/dev/null") && !path.starts_with("/dev/pts");
    let is_lock = name != "fcntl" || is_lock_command(arguments[1]);
    // Asking whether a descriptor is a terminal, and the like, is none of the store's doing.
    let is_clone = name != "ioctl" || arguments[1] & 0xffff_ffff == 0x4004_9409;
    if !(is_file || of_mounts) || !is_lock || !is_clone {
        return None;
    }
    let sort = if makes_files(name, notice) { Changes } else { sort };
    Some(Call { name, sort, path })
}

fn is_lock_command(command: u64) -> bool {
    let command = i32::try_from(command & 0xffff_ffff).unwrap_or(0);
    [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK, libc::F_OFD_SETLKW].contains(&command)
}

fn makes_files(name: &str, notice: &libc::seccomp_notif) -> bool {
    let flags = match name {
        "open" => notice.data.args[1],
        "openat" => notice.data.args[2],
        // struct open_how begins with the flags.
        "openat2" => {
            let mut flags = [0; 8];
            memory(notice.pid, notice.data.args[2], &mut flags);
            u64::from_ne_bytes(flags)
        }
        _ => return false,
    };
    let making = libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY);
    flags & u64::try_from(making).unwrap() != 0
}

fn descriptor(thread: u32, number: u64) -> String {
    let number = u32::try_from(number & 0xffff_ffff).unwrap();
    if number.cast_signed() == libc::AT_FDCWD {
        return std::fs::read_link(format!("/proc/{thread}/cwd")).map_or_else(|_| String::new(), shown);
    }
    std::fs::read_link(format!("/proc/{thread}/fd/{number}")).map_or_else(|_| String::new(), shown)
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_or_else hands over")]
fn shown(path: std::path::PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

fn text(thread: u32, address: u64) -> String {
    let mut bytes = [0; PATH_BYTES];
    let count = memory(thread, address, &mut bytes);
    let end = bytes[..count].iter().position(|byte| *byte == 0).unwrap_or(count);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Reads memory of the program, which waits meanwhile.
fn memory(thread: u32, address: u64, into: &mut [u8]) -> usize {
    let Ok(file) = File::open(format!("/proc/{thread}/mem")) else { return 0 };
    // A path may end right before a page that is not there.
    let to_the_page = 4096 - usize::try_from(address % 4096).unwrap();
    let first = into.len().min(to_the_page);
    let count = file.read_at(&mut into[..first], address).unwrap_or(0);
    if count == first && first < into.len() && !into[..first].contains(&0) {
        return first + file.read_at(&mut into[first..], address + first as u64).unwrap_or(0);
    }
    count
}

#[test]
#[should_panic(expected = "NotFound")]
fn a_program_that_is_not_there_keeps_nobody_waiting() {
    let _alone = crate::alone();
    watch(&mut Command::new("/no/such/program"), &mut |_| Verdict::Go);
}
