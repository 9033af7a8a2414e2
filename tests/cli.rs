//! The program from the outside: every command, exit codes, JSON, on both drivers and without root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "a test's own files, in a folder of its own")]

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

mod programs;

/// Who is nobody.
const NOBODY: u32 = 65534;

/// A store in a temporary folder, and the program on it.
struct Bench {
    top: TempDir,
    program: PathBuf,
    driver: &'static str,
    /// Run without privilege.
    rootless: bool,
}

/// What a run said.
struct Said {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Said {
    fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap().trim_end().to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The drivers that this caller can use.
fn drivers() -> &'static [&'static str] {
    if is_root() { &["overlay2", "fuse-union", "vfs"] } else { &["vfs"] }
}

impl Bench {
    fn new(driver: &'static str) -> Self {
        programs::build();
        let top = tempfile::tempdir().unwrap();
        Self { top, program: env!("CARGO_BIN_EXE_plywood").into(), driver, rootless: false }
    }

    /// The program as nobody, in a folder of nobody's; the program itself may lie where nobody cannot go.
    fn rootless() -> Self {
        let mut bench = Self::new("vfs");
        if is_root() {
            bench.program = bench.path("plywood");
            // Not by this process: a child of another thread could have the copy open for writing while it is run.
            let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_plywood")).arg(&bench.program).status();
            assert!(copied.unwrap().success());
            std::os::unix::fs::chown(bench.top.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            std::fs::set_permissions(bench.top.path(), PermissionsExt::from_mode(0o755)).unwrap();
            bench.rootless = true;
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = if self.rootless {
            let mut command = Command::new("setpriv");
            let user = NOBODY.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        let home = self.path("home");
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home)
            .env("PLYWOOD_ROOT", self.path("store"));
        command.env("PLYWOOD_DRIVER", self.driver).current_dir(self.top.path());
        command
    }

    fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Said {
        self.run_with(arguments, b"")
    }

    fn run_with<A: AsRef<OsStr>>(&self, arguments: &[A], input: &[u8]) -> Said {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        feeding.join().unwrap();
        Said { code: status.code().unwrap(), out: stdout, err: String::from_utf8_lossy(&stderr).into_owned() }
    }

    /// Runs what has to work, and answers its output.
    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{} {arguments:?}: {}", self.driver, said.err);
        said.text()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{} {arguments:?}: {}", self.driver, said.err);
        said.json()
    }

    /// Runs what has to fail with the code, and answers its complaint.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, code, "{} {arguments:?}: {}", self.driver, said.err);
        assert!(!said.err.is_empty(), "{arguments:?} fails without a word");
        said.err
    }

    /// Makes `files/` with a few files, and an image `app:1` of it.
    fn image(&self) -> String {
        let files = self.path("files");
        std::fs::create_dir_all(files.join("etc/sub")).unwrap();
        std::fs::write(files.join("etc/motd"), "hello\n").unwrap();
        std::fs::write(files.join("etc/sub/tool"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(files.join("etc/sub/tool"), PermissionsExt::from_mode(0o4755)).unwrap();
        symlink("motd", files.join("etc/link")).unwrap();
        std::fs::hard_link(files.join("etc/motd"), files.join("etc/again")).unwrap();
        self.ok(&["create", "scratch", "--name", "base"]);
        self.ok(&["cp", "files/.", "base:/"]);
        self.ok(&["commit", "base", "app:1", "-m", "first", "-a", "me", "-c", "CMD [\"/bin/sh\"]"])
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

/// The names in a tar, sorted, as the system's own tar sees them.
fn names_in(tar: &[u8]) -> Vec<String> {
    let mut command = Command::new("tar");
    command.args(["-tf", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(tar).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut names: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn an_image_goes_out_and_comes_back() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        let image = bench.image();
        let changes = bench.ok(&["changes", "base"]);
        assert!(changes.contains("A /etc/motd\n") && changes.contains("A /etc/sub/tool"), "{changes}");
        let diff_ids = |bench: &Bench| bench.json(&["inspect", "app:1"])[0]["RootFS"].clone();
        let expected = diff_ids(&bench);
        let ways: [&[&str]; 4] = [
            &["push", "app:1", "oci:gzip:app"],
            &["push", "app:1", "oci:zstd:app", "--compression", "zstd", "--compression-level", "7"],
            &["push", "app:1", "oci-archive:plain.tar:app", "--compression", "none", "--format", "docker"],
            &["push", "app:1", "docker-archive:docker.tar:app:1"],
        ];
        for way in ways {
            assert!(bench.ok(way).starts_with("sha256:"));
            let other = Bench::new("vfs");
            let mut words = way[2].split(':');
            let (transport, name) = (words.next().unwrap(), words.next().unwrap());
            let source = format!("{transport}:{}", bench.path(name).display());
            let pulled = other.run(&["pull", &source, "--name", "app:1"]);
            assert_eq!(pulled.code, 0, "{source}: {}", pulled.err);
            assert_eq!(pulled.text(), image, "{source}: the config came through");
            assert!(pulled.err.contains("unpacking"), "progress is on stderr: {}", pulled.err);
            assert_eq!(diff_ids(&other), expected, "{source}");
            assert_eq!(other.run(&["-q", "pull", &source, "--name", "app:1"]).err, "", "quiet is quiet");
        }
        for format in ["docker-archive", "oci-archive"] {
            let saved = bench.run(&["save", "--format", format, "app:1"]);
            assert_eq!(saved.code, 0, "{}", saved.err);
            bench.ok(&["save", "--format", format, "app:1", "-o", "saved.tar"]);
            assert_eq!(
                std::fs::read(bench.path("saved.tar")).unwrap(),
                saved.out,
                "file and pipe are the same"
            );
            let other = Bench::new(driver);
            let loaded = other.run_with(&["load"], &saved.out);
            assert_eq!(loaded.text(), "Loaded image: localhost/app:1", "{}", loaded.err);
            assert_eq!(diff_ids(&other), expected);
        }
    }
}

#[test]
fn images_are_listed_named_and_removed() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        let image = bench.image();
        let table = bench.ok(&["images", "--digests"]);
        assert!(table.starts_with("REPOSITORY") && table.contains("localhost/app  1 "), "{table}");
        let listed = bench.json(&["images", "--json"]);
        assert_eq!(format!("sha256:{}", listed[0]["Id"].as_str().unwrap()), image);
        assert_eq!(listed[0]["Names"][0], "localhost/app:1");
        assert_eq!(bench.ok(&["images", "-q"]), image[7..19]);
        assert_eq!(bench.json(&["inspect", "app:1"])[0]["Config"]["Cmd"][0], "/bin/sh");
        let history = bench.json(&["history", "app:1", "--json"]);
        assert_eq!((history[0]["Comment"].as_str(), history.as_array().unwrap().len()), (Some("first"), 1));
        assert!(bench.ok(&["history", "app:1"]).contains("first"));
        bench.ok(&["tag", "app:1", "app:2", "other/name:x"]);
        assert_eq!(bench.ok(&["rmi", "app:2"]), "Untagged: localhost/app:2");
        bench.ok(&["create", "app:1", "--name", "user"]);
        let complaint = bench.fails(75, &["rmi", &image]);
        assert!(complaint.contains("user") && complaint.contains("hint:"), "{complaint}");
        bench.ok(&["rmi", "-f", &image]);
        assert_eq!(bench.json(&["images", "--json"]), Value::Array(vec![]));
        assert_eq!(
            bench.json(&["ps", "--json"]).as_array().unwrap().len(),
            1,
            "the container from scratch is left"
        );
    }
}

#[test]
fn containers_are_made_changed_and_removed() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        bench.image();
        let id = bench.ok(&["create", "app:1", "--name", "web"]);
        assert_eq!(id.len(), 64);
        let listed = bench.json(&["ps", "--json"]);
        assert_eq!(
            (&listed[0]["Name"], &listed[0]["Image"]),
            (&Value::from("web"), &Value::from("localhost/app:1"))
        );
        assert!(bench.ok(&["ps"]).contains("web"));
        assert!(bench.ok(&["ps", "-q"]).lines().any(|line| id.starts_with(line)));
        assert_eq!(bench.ok(&["changes", "web"]), "");
        assert_eq!(bench.json(&["changes", "web", "--json"]), Value::Array(vec![]));
        std::fs::write(bench.path("odd\n"), "x").unwrap();
        bench.ok(&["cp", "odd\n", "web:/etc/"]);
        assert_eq!(bench.ok(&["changes", "web"]), "C /etc\nA /etc/odd\\x0a");
        assert_eq!(bench.json(&["changes", "web", "--json"])[1]["Path"], "/etc/odd\n");
        let diff = bench.run(&["diff", "web"]);
        assert_eq!(names_in(&diff.out).len(), 2);
        bench.ok(&["diff", "web", "-o", "diff.tar"]);
        assert_eq!(std::fs::read(bench.path("diff.tar")).unwrap(), diff.out);
        let exported = names_in(&bench.run(&["export", "web"]).out);
        assert!(
            exported.contains(&"etc/motd".to_owned()) && exported.contains(&"etc/link".to_owned()),
            "{exported:?}"
        );
        bench.fails(125, &["create", "app:1", "--name", "web"]);
        bench.ok(&["commit", "web", "app:2"]);
        assert_eq!(bench.json(&["history", "app:2", "--json"]).as_array().unwrap().len(), 2);
        assert_eq!(bench.json(&["inspect", "web"])[0]["Driver"], *driver);
        assert_eq!(bench.ok(&["rm", "web", "base"]), "web\nbase");
        assert_eq!(bench.json(&["mounts", "--json"]), Value::Array(vec![]), "cp and export left no mount");
    }
}

#[test]
fn copies_follow_the_rules_of_docker_cp() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        bench.image();
        // A file: under a new name, into a folder, over a file.
        bench.ok(&["cp", "base:/etc/motd", "new"]);
        assert_eq!(bench.read("new"), "hello\n");
        std::fs::create_dir(bench.path("folder")).unwrap();
        bench.ok(&["cp", "base:etc/motd", "folder"]);
        assert_eq!(bench.read("folder/motd"), "hello\n");
        bench.ok(&["cp", "files/etc/sub/tool", "base:/etc/motd"]);
        bench.ok(&["cp", "base:/etc/motd", "new"]);
        assert_eq!(bench.read("new"), "#!/bin/sh\n");
        // A folder: under a new name, into a folder, its content.
        bench.ok(&["cp", "base:/etc", "made"]);
        assert_eq!(bench.read("made/sub/tool"), "#!/bin/sh\n");
        bench.ok(&["cp", "base:/etc", "made"]);
        assert_eq!(bench.read("made/etc/again"), "hello\n");
        bench.ok(&["cp", "base:/etc/.", "folder"]);
        assert_eq!(std::fs::read_link(bench.path("folder/link")).unwrap(), Path::new("motd"));
        // Set-user-id bits of an image are not for this machine.
        assert_eq!(std::fs::metadata(bench.path("folder/sub/tool")).unwrap().mode() & 0o7777, 0o755);
        bench.ok(&["cp", "-a", "base:/etc/sub", "kept"]);
        assert_eq!(std::fs::metadata(bench.path("kept/tool")).unwrap().mode() & 0o7777, 0o4755);
        // Links: as they are, and followed.
        bench.ok(&["cp", "base:/etc/link", "link"]);
        assert!(std::fs::symlink_metadata(bench.path("link")).unwrap().is_symlink());
        bench.ok(&["cp", "-L", "base:/etc/link", "followed"]);
        assert_eq!(bench.read("followed"), "#!/bin/sh\n");
        // Tars.
        let packed = bench.run(&["cp", "base:/etc/sub", "-"]);
        assert_eq!(names_in(&packed.out), ["sub/", "sub/tool"]);
        let unpacked = bench.run_with(&["cp", "-", "base:/srv"], &packed.out);
        assert_eq!(unpacked.code, 2, "the folder has to be there");
        assert_eq!(bench.run_with(&["cp", "-", "base:/"], &packed.out).code, 0);
        bench.ok(&["cp", "base:/sub/tool", "tool"]);
        // What cannot be.
        bench.fails(64, &["cp", "files/etc", "base:/etc/motd"]);
        bench.fails(64, &["cp", "a", "b"]);
        bench.fails(64, &["cp", "base:/etc/motd/", "x"]);
        bench.fails(2, &["cp", "base:/none", "x"]);
        bench.fails(2, &["cp", "none:/etc", "x"]);
        bench.fails(2, &["cp", "files/etc/motd", "base:/none/"]);
    }
}

#[test]
fn links_in_a_container_do_not_lead_out_of_it() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        bench.image();
        let outside = bench.path("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), "secret").unwrap();
        std::fs::create_dir(bench.path("bait")).unwrap();
        symlink(&outside, bench.path("bait/absolute")).unwrap();
        symlink("../../../../../../../../../../etc", bench.path("bait/relative")).unwrap();
        bench.ok(&["cp", "bait/.", "base:/"]);
        bench.fails(2, &["cp", "base:/absolute/secret", "x"]);
        bench.fails(2, &["cp", "files/etc/motd", "base:/absolute/planted"]);
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1, "nothing was planted");
        bench.ok(&["cp", "base:/relative/motd", "motd"]);
        assert_eq!(bench.read("motd"), "hello\n", "the container's /etc, not this machine's");
        // A file over a link replaces or follows it inside; what it names outside stays.
        bench.fails(2, &["cp", "-L", "base:/absolute", "x"]);
        // Outside, names that come from the container are not followed through links that lie there.
        std::fs::create_dir(bench.path("target")).unwrap();
        symlink(&outside, bench.path("target/etc")).unwrap();
        bench.fails(64, &["cp", "base:/etc", "target"]);
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1, "nothing was planted");
    }
}

#[test]
fn mounts_stay_until_they_are_taken_down() {
    if !is_root() {
        return;
    }
    for driver in drivers() {
        let bench = Bench::new(driver);
        bench.image();
        bench.ok(&["create", "app:1", "--name", "web"]);
        let image = PathBuf::from(bench.ok(&["mount", "app:1"]));
        assert_eq!(std::fs::read_to_string(image.join("etc/motd")).unwrap(), "hello\n");
        assert!(std::fs::write(image.join("x"), "x").is_err(), "images are mounted read-only");
        std::fs::create_dir(bench.path("here")).unwrap();
        let target = bench.path("here");
        assert_eq!(bench.ok(&["mount", "web", "here"]), target.to_str().unwrap());
        std::fs::write(target.join("x"), "x").unwrap();
        // A container that is mounted can be worked on all the same.
        bench.ok(&["cp", "files/etc/motd", "web:/y"]);
        assert!(target.join("y").exists());
        assert_eq!(bench.ok(&["changes", "web"]), "A /x\nA /y");
        assert_eq!(bench.json(&["mounts", "--json"]).as_array().unwrap().len(), 2);
        assert!(bench.ok(&["mounts"]).contains("rw"));
        bench.fails(75, &["rm", "web"]);
        bench.ok(&["umount", "web"]);
        bench.ok(&["mount", "--read-only", "web", "here"]);
        bench.ok(&["cp", "web:/y", "read"]);
        bench.fails(75, &["cp", "read", "web:/z"]);
        bench.ok(&["umount", "web"]);
        bench.ok(&["mount", "web", "here"]);
        let busy = std::fs::File::open(target.join("x")).unwrap();
        bench.fails(75, &["umount", "web"]);
        drop(busy);
        assert_eq!(bench.ok(&["umount", "here", "app:1"]), "here\napp:1");
        bench.fails(2, &["umount", "web"]);
        bench.ok(&["mount", "web"]);
        bench.ok(&["umount", "--all"]);
        bench.ok(&["rm", "web"]);
    }
}

#[test]
fn layers_are_worked_on_one_by_one() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        bench.image();
        let tar = bench.run(&["diff", "base"]).out;
        let bottom = bench.run_with(&["layer", "apply"], &tar);
        assert_eq!(bottom.code, 0, "{}", bottom.err);
        let bottom = bottom.text();
        assert_eq!(bench.run(&["layer", "tar", &bottom]).out, tar, "byte for byte");
        std::fs::write(bench.path("layer.tar"), &tar).unwrap();
        let top = bench.ok(&["layer", "apply", "--parent", &bottom, "layer.tar"]);
        bench.ok(&["layer", "diff", &bottom, "-o", "diff.tar"]);
        assert_eq!(std::fs::read(bench.path("diff.tar")).unwrap(), tar);
        assert!(bench.ok(&["layer", "changes", &bottom]).contains("A /etc/motd"));
        let writable = bench.ok(&["layer", "create", "--parent", &top[..8]]);
        let view = bench.ok(&["layer", "create", "--parent", &top, "--read-only"]);
        assert_eq!(bench.json(&["inspect", &view])[0]["State"], "view");
        let listed = bench.json(&["layer", "list", "--json"]);
        assert!(listed.as_array().unwrap().iter().any(|layer| layer["Id"] == writable.as_str()));
        assert!(bench.ok(&["layer", "list"]).contains(&bottom));
        assert!(bench.ok(&["layer", "list", "-q"]).lines().any(|line| line == view));
        if is_root() {
            let target = bench.ok(&["layer", "mount", &writable]);
            std::fs::write(Path::new(&target).join("x"), "x").unwrap();
            bench.ok(&["umount", &writable]);
            assert_eq!(bench.ok(&["layer", "changes", &writable]), "A /x");
        }
        let complaint = bench.fails(75, &["layer", "remove", &top]);
        assert!(complaint.contains(&view[..12]) || complaint.contains(&writable[..12]), "{complaint}");
        bench.ok(&["layer", "remove", &writable, &view, &top]);
        let broken = bench.run_with(&["layer", "apply"], b"no tar at all");
        assert_eq!(broken.code, 125, "{}", broken.err);
    }
}

#[test]
fn a_store_is_described_and_cared_for() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        bench.image();
        let info = bench.json(&["info", "--json"]);
        assert_eq!(
            (&info["store"]["driver"], &info["store"]["images"]),
            (&Value::from(*driver), &Value::from(1))
        );
        assert!(bench.ok(&["info"]).contains("independentApply: true"));
        let usage = bench.json(&["df", "--json"]);
        assert_eq!(usage["Images"][0]["Names"][0], "localhost/app:1");
        assert!(bench.ok(&["df"]).starts_with("TYPE") && bench.ok(&["df", "-v"]).contains("RECLAIMABLE"));
        assert_eq!(bench.ok(&["gc", "--dry-run"]), "");
        assert_eq!(bench.ok(&["gc"]), "");
        assert_eq!(bench.ok(&["check"]), "");
        assert_eq!(bench.json(&["check", "--quick", "--json"])["Problems"], Value::Array(vec![]));
        let layer = bench.json(&["inspect", "app:1"])[0]["RootFS"]["Layers"].as_array().unwrap().len();
        assert_eq!(layer, 1);
        damage(&bench);
        let said = bench.run(&["check"]);
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.text().contains("damaged"), "{}", said.text());
    }
}

/// Changes a byte of the image's layer behind the store's back.
fn damage(bench: &Bench) {
    let layers = bench.json(&["layer", "list", "--json"]);
    let committed = layers.as_array().unwrap().iter().find(|layer| layer["State"] == "committed").unwrap();
    let inner = if bench.driver == "vfs" { "root" } else { "diff" };
    let folder = bench.path("store").join(bench.driver).join(committed["Id"].as_str().unwrap()).join(inner);
    std::fs::write(folder.join("etc/motd"), "jello\n").unwrap();
}

#[test]
fn mistakes_have_codes_and_advice() {
    let bench = Bench::new("vfs");
    let table: [(i32, &[&str], &str); 12] = [
        (64, &["pull"], "Usage"),
        (64, &["pull", "docker://alpine"], "oci:DIR"),
        (64, &["images", "--nope"], "--nope"),
        (64, &["--driver", "btrfs", "images"], "overlay2"),
        (64, &["--config", "/none.toml", "images"], "/none.toml"),
        (64, &["tag", "app", "UPPER"], "upper-case"),
        (2, &["create", "none"], "plywood images"),
        (2, &["rm", "none"], "plywood ps"),
        (2, &["layer", "diff", "abcdef"], "plywood layer list"),
        (2, &["pull", "oci:none"], "none"),
        (2, &["load", "-i", "none.tar"], "none.tar"),
        (2, &["inspect", "none"], "no container, image or layer"),
    ];
    for (code, arguments, part) in table {
        let complaint = bench.fails(code, arguments);
        assert!(complaint.contains(part), "{arguments:?}: {complaint}");
    }
    // One that fails does not keep the others from being done.
    bench.ok(&["create", "scratch", "--name", "one"]);
    let said = bench.run(&["rm", "none", "one"]);
    assert_eq!((said.code, said.text().as_str()), (2, "one"));
    if is_root() {
        let complaint = bench.fails(64, &["--driver", "overlay2", "images"]);
        assert!(complaint.contains("vfs"), "the store keeps its driver: {complaint}");
    }
}

#[test]
fn flags_go_before_variables_and_those_before_files() {
    let bench = Bench::new("vfs");
    let file = bench.path("plywood.toml");
    let config =
        format!("root = \"{}\"\nworkers = 5\n[limits]\nentries = 1\n", bench.path("filed").display());
    std::fs::write(&file, config).unwrap();
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = bench.command();
        command.env_remove("PLYWOOD_ROOT").env("PLYWOOD_CONFIG", &file).envs(variables.iter().copied());
        let output = command.args(arguments).args(["info", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        let root = value["store"]["root"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (root, value["store"]["workers"].as_u64().unwrap())
    };
    let (named, flagged) = (bench.path("named"), bench.path("flagged"));
    let variables = [("PLYWOOD_ROOT", named.to_str().unwrap()), ("PLYWOOD_WORKERS", "7")];
    assert_eq!(run(&[], &[]), ("filed".to_owned(), 5));
    assert_eq!(run(&variables, &[]), ("named".to_owned(), 7));
    assert_eq!(run(&variables, &["--root", flagged.to_str().unwrap()]), ("flagged".to_owned(), 7));
    std::fs::write(&file, "workers = 1\nroots = 'x'\n").unwrap();
    let complaint = bench.fails(64, &["--config", file.to_str().unwrap(), "images"]);
    assert!(complaint.contains("line 2"), "{complaint}");
}

#[test]
fn limits_of_the_configuration_hold() {
    let bench = Bench::new("vfs");
    bench.image();
    let tar = bench.run(&["diff", "base"]).out;
    std::fs::write(bench.path("tight.toml"), "[limits]\nentries = 2\n").unwrap();
    let said = bench.run_with(&["--config", "tight.toml", "layer", "apply"], &tar);
    assert_eq!(said.code, 125);
    assert!(said.err.contains("[limits]"), "says where limits are raised: {}", said.err);
}

#[test]
fn without_root_everything_but_mounts_works_on_vfs() {
    let bench = Bench::rootless();
    bench.image();
    if bench.rootless {
        let motd = std::fs::metadata(bench.path("store")).unwrap();
        assert_eq!((motd.uid(), motd.mode() & 0o777), (NOBODY, 0o700));
    }
    bench.ok(&["push", "app:1", "oci:layout:app"]);
    bench.ok(&["rmi", "app:1"]);
    let pulled = bench.run(&["pull", "oci:layout:app", "--name", "app:1"]);
    assert_eq!((pulled.code, pulled.err.matches("warning").count()), (0, 1), "{}", pulled.err);
    assert!(pulled.err.contains("belong to you"), "{}", pulled.err);
    bench.ok(&["create", "app:1", "--name", "web"]);
    bench.ok(&["cp", "files/etc/sub", "web:/srv"]);
    bench.ok(&["cp", "web:/srv", "out"]);
    assert_eq!(bench.read("out/tool"), "#!/bin/sh\n");
    assert_eq!(bench.ok(&["changes", "web"]), "A /srv\nA /srv/tool");
    assert!(names_in(&bench.run(&["export", "web"]).out).contains(&"srv/tool".to_owned()));
    bench.ok(&["commit", "web", "app:2"]);
    bench.ok(&["check"]);
    let complaint = bench.fails(77, &["mount", "web"]);
    assert!(complaint.contains("unshare"), "says what to do: {complaint}");
    let complaint = bench.fails(64, &["--driver", "overlay2", "images"]);
    assert!(complaint.contains("vfs"), "{complaint}");
    let mut fresh = bench.command();
    fresh.env("PLYWOOD_ROOT", bench.path("fresh")).env("PLYWOOD_DRIVER", "auto").args(["info", "--json"]);
    let info: Value = serde_json::from_slice(&fresh.output().unwrap().stdout).unwrap();
    assert_eq!(info["store"]["driver"], "vfs");
}

#[test]
fn what_needs_no_store_makes_none() {
    let bench = Bench::new("vfs");
    for shell in ["bash", "zsh", "fish"] {
        assert!(bench.ok(&["completions", shell]).contains("plywood"));
    }
    assert!(bench.ok(&["man"]).contains(".TH plywood"));
    bench.ok(&["man", "pages"]);
    assert!(bench.read("pages/plywood-layer-apply.1").contains("plywood-layer-apply"));
    assert_eq!(bench.ok(&["version"]), format!("plywood {}", env!("CARGO_PKG_VERSION")));
    bench.ok(&["--help"]);
    assert!(!bench.path("store").exists());
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    let bench = Bench::new("vfs");
    let mut command = bench.command();
    let mut child = command.arg("man").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
