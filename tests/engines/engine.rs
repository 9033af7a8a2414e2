//! A containerd with a Plywood snapshotter of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long something may take that takes a fraction of a second on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Engine {
    pub driver: &'static str,
    folder: TempDir,
    snapshotter: Option<Child>,
    containerd: Option<Child>,
}

impl Engine {
    pub fn new(driver: &'static str) -> Self {
        crate::programs::build();
        // Sockets have short names, and /tmp may be a memory file system without room.
        let folder = tempfile::Builder::new().prefix("pw-").tempdir().unwrap();
        let mut engine = Self { driver, folder, snapshotter: None, containerd: None };
        engine.start_snapshotter();
        engine.configure();
        engine.start_containerd();
        engine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program on this engine's store.
    pub fn plywood(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plywood"));
        command.arg("--root").arg(self.path("store")).args(["--driver", self.driver]);
        command
    }

    fn snapshotter(&self) -> Command {
        let mut command = self.plywood();
        command.args(["--log-level", "info", "snapshotter", "--address"]).arg(self.path("p.sock"));
        command
    }

    pub fn start_snapshotter(&mut self) {
        let log = self.log("snapshotter.log");
        self.snapshotter = Some(self.snapshotter().stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let socket = self.path("p.sock");
        self.wait("the snapshotter", |_| std::os::unix::net::UnixStream::connect(&socket).is_ok());
    }

    /// From here on every `syncfs(2)` of the snapshotter answers EIO, until what is answered is ended with [`end_process`].
    pub fn fail_syncs(&self) -> Child {
        let id = self.snapshotter.as_ref().unwrap().id().to_string();
        let mut strace = Command::new("strace");
        strace.args(["-q", "-f", "-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO", "-p", &id]);
        let tracer = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace");
        self.wait("strace", |_| {
            let threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
            let is_traced = |status: String| !status.contains("TracerPid:\t0\n");
            threads.into_iter().all(|thread| {
                std::fs::read_to_string(thread.unwrap().path().join("status")).is_ok_and(is_traced)
            })
        });
        tracer
    }

    /// Kills the snapshotter at once, as the kernel does when memory runs out.
    pub fn kill_snapshotter(&mut self) {
        let mut child = self.snapshotter.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills the snapshotter, starts it anew, and waits until containerd has found it again, which it tries from time to time.
    pub fn restart_snapshotter(&mut self) {
        if self.snapshotter.is_some() {
            self.kill_snapshotter();
        }
        self.start_snapshotter();
        // Lists of nothing come from containerd itself; this asks the snapshotter.
        self.wait("containerd's next attempt", |engine| {
            engine.attempt("snapshots % prepare probe").status.success()
        });
        self.run("snapshots % rm probe");
    }

    /// containerd's configuration has the part that the program prints for it.
    fn configure(&self) {
        let folder = self.folder.path().display();
        let printed = succeed(self.snapshotter().args(["--print-config", "containerd"]));
        let text = format!(
            "version = 2\nroot = \"{folder}/root\"\nstate = \"{folder}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\n  address = \"{folder}/c.sock\"\n[ttrpc]\n  address = \"{folder}/t.sock\"\n{printed}"
        );
        std::fs::write(self.path("config.toml"), text).unwrap();
    }

    fn start_containerd(&mut self) {
        let log = self.log("containerd.log");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(self.path("config.toml")).stdout(Stdio::null()).stderr(log);
        self.containerd = Some(command.spawn().expect("containerd, of Debian's package of that name"));
        self.wait("containerd", |engine| {
            let plugins = engine.ctr(["plugins", "ls"]).output().unwrap();
            let text = String::from_utf8_lossy(&plugins.stdout).into_owned();
            text.lines().any(|line| line.contains("plywood") && line.contains("ok"))
        });
    }

    fn log(&self, name: &str) -> std::fs::File {
        std::fs::File::options().create(true).append(true).open(self.path(name)).unwrap()
    }

    /// containerd's client, in the namespace `default`.
    pub fn ctr<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.path("c.sock")).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs containerd's client, which must succeed, and answers what it printed. `%` stands for the option that names the snapshotter.
    pub fn run(&self, line: &str) -> String {
        succeed(&mut self.ctr(words(line)))
    }

    /// As [`run`](Self::run), where failing is no failure of the test.
    pub fn attempt(&self, line: &str) -> Output {
        self.ctr(words(line)).output().unwrap()
    }

    /// Starts the client and does not wait.
    pub fn begin(&self, line: &str) -> Child {
        self.ctr(words(line)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub fn wait(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() <= PATIENCE, "{}: {what} does not come\n{}", self.driver, self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(30).collect();
            let lines: Vec<String> = lines.into_iter().rev().map(|line| format!("{name}: {line}")).collect();
            lines.join("\n") + "\n"
        };
        tail("snapshotter.log") + &tail("containerd.log")
    }

    /// What `plywood info` counts.
    pub fn count(&self, what: &str) -> u64 {
        let info = succeed(self.plywood().args(["info", "--json"]));
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        info["store"][what].as_u64().unwrap()
    }

    /// How many layers the driver has on the disk.
    pub fn layers_on_disk(&self) -> usize {
        let names = std::fs::read_dir(self.path("store").join(self.driver)).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().file_name().len() == 32).count()
    }

    /// Waits until containerd's garbage collection has taken everything, and looks whether the store is as if nothing had been.
    pub fn assert_left_empty(&self) {
        self.wait("containerd's garbage collection", |engine| {
            engine.count("snapshots") == 0 && engine.count("layers") == 0
        });
        assert_eq!(self.layers_on_disk(), 0);
        if self.driver == "overlay2" {
            let links = std::fs::read_dir(self.path("store/overlay2/l")).unwrap().count();
            assert_eq!(links, 0, "links of layers that are gone");
        }
        self.check();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.folder.path().display().to_string();
        let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&own)).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// The store is sound.
    pub fn check(&self) {
        succeed(self.plywood().arg("check"));
        let dry = succeed(self.plywood().args(["gc", "--dry-run", "-q"]));
        assert_eq!(dry.trim(), "", "what nothing needs");
    }

    /// Ends a container with its task, and removes both.
    pub fn end(&self, name: &str) {
        self.attempt(&format!("task kill -s KILL {name}"));
        self.wait("the end of the task", |engine| {
            engine.attempt(&format!("task rm {name}")).status.success()
        });
        self.run(&format!("container rm {name}"));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for name in String::from_utf8_lossy(&self.attempt("task ls -q").stdout).lines() {
            self.attempt(&format!("task rm -f {name}"));
        }
        for child in [self.containerd.take(), self.snapshotter.take()].into_iter().flatten() {
            end_process(child);
        }
    }
}

/// SIGTERM, and SIGKILL where that does not do.
pub fn end_process(mut child: Child) -> Option<i32> {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// Runs a command, which must succeed, and answers what it printed.
pub fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    assert!(status.success(), "{command:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Words separated by blanks; those between single quotes are one.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part);
            continue;
        }
        for word in part.split_whitespace() {
            if word == "%" { words.extend(["--snapshotter", "plywood"]) } else { words.push(word) }
        }
    }
    words
}

/// A path in a line.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}
