//! What an image is built of.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Programs of busybox that the steps run.
const PROGRAMS: [&str; 22] = [
    "cat", "chmod", "chown", "cp", "dd", "echo", "find", "ln", "ls", "mkdir", "mkfifo", "mv", "rm", "rmdir",
    "sh", "sort", "stat", "sync", "test", "touch", "truncate", "wc",
];

/// Steps that leave every kind of mark in a layer: new, changed, removed, moved and replaced names, links, modes, owners, holes.
const STEPS: &str = "\
FROM scratch
COPY rootfs/ /
RUN mkdir -p /data/a/b /data/sticky && echo one > /data/a/b/one && echo two > /data/two && chmod 640 /data/two && \
    ln /data/two /data/hard && ln -s two /data/soft && mkfifo /data/pipe && chmod 1777 /data/sticky && \
    cp /bin/busybox /data/suid && chmod 4755 /data/suid && chown 7:8 /data/a/b/one
RUN rm /data/soft && mv /data/a /data/moved && echo more >> /data/moved/b/one && mv /data/pipe /data/sticky/pipe
RUN echo written >> /data/moved/b/one && chmod 600 /data/suid && rm -r /etc/old && mkdir /etc/old && \
    echo new > /etc/old/new
RUN rm -r /data/moved/b && mkdir /data/moved/b && echo new > /data/moved/b/new && truncate -s 1000000 /data/hole && \
    mkdir -p /many && for n in 0 1 2 3 4 5 6 7 8 9; do mkdir /many/$n; for m in 0 1 2 3 4 5 6 7 8 9; do \
    echo $n$m > /many/$n/$m; done; done
RUN rm -r /many/3 /many/4/5 && mv /many/6 /many/sixth && chown -R 11:12 /many/7 && touch /many/.hidden
";

/// Makes the folder that `build` is given.
pub fn make(folder: &Path) -> PathBuf {
    let context = folder.join("context");
    let root = context.join("rootfs");
    for below in ["bin", "etc/old", "data", "proc", "sys", "dev", "tmp", "run"] {
        fs::create_dir_all(root.join(below)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox, of Debian's package busybox-static");
    for program in PROGRAMS {
        symlink("busybox", root.join("bin").join(program)).unwrap();
    }
    fs::write(root.join("etc/old/file"), "to be hidden").unwrap();
    fs::write(root.join("etc/name"), "course").unwrap();
    fs::write(context.join("Containerfile"), STEPS).unwrap();
    context
}
