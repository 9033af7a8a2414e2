//! The program `fuse-union`: in the background, killed, told nonsense.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::stage::{Stage, names};

fn fuse_union(arguments: &[&str], target: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fuse-union")).args(arguments).arg(target).output().unwrap()
}

fn options(stage: &Stage) -> String {
    let path = |name: &str| stage.path(name).display().to_string();
    format!(
        "lowerdir={}:{},upperdir={},workdir={}",
        path("lower"),
        path("second"),
        path("upper"),
        path("work")
    )
}

fn unmount(target: &Path) {
    let output = Command::new("umount").arg("-l").arg(target).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The process that serves the mount, found by its command line.
fn server(target: &Path) -> i32 {
    let wanted = target.as_os_str().as_encoded_bytes();
    for entry in fs::read_dir("/proc").unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let Ok(line) = fs::read(path.join("cmdline")) else { continue };
        let mut words = line.split(|byte| *byte == 0);
        if words.next().is_some_and(|word| word.ends_with(b"fuse-union")) && words.any(|word| word == wanted)
        {
            return path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        }
    }
    panic!("no server of {} runs", target.display());
}

#[test]
fn it_returns_when_the_mount_is_there_and_goes_on_in_the_background() {
    let stage = Stage::new();
    stage.write("lower/file", "x");
    let target = stage.path("merged");
    let output = fuse_union(&["-o", &options(&stage)], &target);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(names(&target), ["file"]);
    let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    let line = mounts.lines().find(|line| line.contains(target.to_str().unwrap())).unwrap();
    assert!(line.contains(" fuse.fuse-union "), "{line}");
    let process = server(&target);
    unmount(&target);
    let deadline = Instant::now() + Duration::from_mins(1);
    while Path::new(&format!("/proc/{process}")).exists() {
        assert!(Instant::now() < deadline, "the server goes on without its mount");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_server_loses_nothing_and_can_be_replaced() {
    let stage = Stage::new();
    stage.write("lower/file", "lower");
    stage.write("lower/gone", "x");
    let target = stage.path("merged");
    assert!(fuse_union(&["-o", &options(&stage)], &target).status.success());
    fs::write(target.join("file"), "written").unwrap();
    fs::remove_file(target.join("gone")).unwrap();
    fs::File::open(target.join("file")).unwrap().sync_all().unwrap();
    let process = rustix::process::Pid::from_raw(server(&target)).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while fs::metadata(&target).is_ok() {
        assert!(Instant::now() < deadline, "the mount answers without a server");
        std::thread::sleep(Duration::from_millis(10));
    }
    unmount(&target);
    let again = fuse_union(&["-o", &options(&stage)], &target);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!((names(&target), stage.read("merged/file")), (vec!["file".to_owned()], "written".to_owned()));
    unmount(&target);
}

#[test]
fn a_server_that_is_told_to_end_takes_its_mount_down() {
    let stage = Stage::new();
    stage.write("lower/file", "lower");
    let target = stage.path("merged");
    assert!(fuse_union(&["-o", &options(&stage)], &target).status.success());
    let process = rustix::process::Pid::from_raw(server(&target)).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while fs::metadata(target.join("file")).is_ok() || Path::new(&format!("/proc/{process}")).exists() {
        assert!(Instant::now() < deadline, "the server, or its mount, goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(names(&target), Vec::<String>::new());
}

#[test]
fn mistakes_are_told_on_standard_error() {
    let stage = Stage::new();
    let missing = format!("lowerdir={}", stage.path("missing").display());
    for (given, expected) in [
        ("nonsense=1", "unknown option 'nonsense'"),
        ("volatile", "at least one folder"),
        (missing.as_str(), "missing"),
    ] {
        let output = fuse_union(&["-o", given], &stage.path("merged"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{given}: {said}");
    }
    let output = fuse_union(&["-o", &options(&stage)], Path::new("/no/such/folder"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/folder"));
}

#[test]
fn version_and_manual_are_printed() {
    let run = |argument: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_fuse-union")).arg(argument).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("--version").starts_with("fuse-union "));
    assert!(run("--help").contains("lowerdir=DIR"));
    assert!(run("--manual").starts_with(".ie"));
}
