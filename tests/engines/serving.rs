//! The process: a socket handed over by systemd, its mode and owner, metrics, readiness, the end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::engine::{end_process, succeed};

/// Opens a socket as systemd does, hands it over as descriptor 3, and becomes the program.
const ACTIVATE: &str = r"
import os, socket, sys
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen()
os.dup2(listener.fileno(), 3); os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
";

fn plywood(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plywood"));
    command.arg("--root").arg(folder.join("store")).stderr(Stdio::null());
    command
}

fn connect(socket: &Path) -> UnixStream {
    let started = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(30), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_socket_of_systemds_is_served_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, notify) = (folder.path().join("s.sock"), folder.path().join("n.sock"));
    let told = UnixDatagram::bind(&notify).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", ACTIVATE]).arg(&socket).arg(&notify).arg(env!("CARGO_BIN_EXE_plywood"));
    command.arg("--root").arg(folder.path().join("store")).args([
        "snapshotter",
        "--address",
        "/nowhere/x.sock",
    ]);
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    let said = || {
        let mut buffer = [0; 200];
        let length = told.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert!(said().contains("READY=1"));
    connect(&socket);
    assert_eq!(end_process(child), Some(0));
    assert!(said().contains("STOPPING=1"));
    assert!(socket.exists(), "it is systemd's");
}

#[test]
fn a_socket_of_its_own_has_mode_and_owner_and_goes_with_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("made/here/p.sock");
    let mut command = plywood(folder.path());
    command.args(["snapshotter", "--socket-mode", "660", "--socket-owner", "1:2", "--address"]).arg(&socket);
    let child = command.spawn().unwrap();
    connect(&socket);
    let metadata = std::fs::metadata(&socket).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.uid(), metadata.gid()), (0o660, 1, 2));
    let second = plywood(folder.path()).args(["snapshotter", "--address"]).arg(&socket).output().unwrap();
    assert_eq!(second.status.code(), Some(125), "somebody serves there already");
    assert_eq!(end_process(child), Some(0));
    assert!(!socket.exists());
}

#[test]
fn metrics_are_offered_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("p.sock");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut command = plywood(folder.path());
    let child: Child =
        command.args(["snapshotter", "--metrics", &address, "--address"]).arg(&socket).spawn().unwrap();
    connect(&socket);
    // The socket is there a moment before.
    let began = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(&address) {
            Ok(stream) => break stream,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(30), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    assert!(page.contains("\nplywood_snapshotter_layers_removed_total 0\n"), "{page}");
    assert_eq!(end_process(child), Some(0));
}

#[test]
fn configurations_are_printed_without_a_store() {
    let folder = tempfile::tempdir().unwrap();
    for (wanted, expected) in [
        ("containerd", "[proxy_plugins.plywood]"),
        ("docker", "containerd-snapshotter"),
        ("systemd", "ListenStream="),
    ] {
        let printed = succeed(plywood(folder.path()).args(["snapshotter", "--print-config", wanted]));
        assert!(printed.contains(expected), "{printed}");
    }
    assert!(!folder.path().join("store").exists());
}
