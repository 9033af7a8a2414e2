//! Configurations to install, with the paths of this machine filled in.

use std::path::Path;

use anyhow::Context;

use super::ConfigFor;

/// The text for the program that is to be configured.
pub(super) fn text(wanted: ConfigFor, socket: &Path, root: &Path) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("find this program")?;
    let absolute = |path: &Path| std::path::absolute(path).context("find the working folder");
    let (socket, root) = (absolute(socket)?, absolute(root)?);
    let [program, socket, root] = [&program, &socket, &root].map(|path| path.display().to_string());
    Ok(match wanted {
        ConfigFor::Containerd => containerd(&socket, &root),
        ConfigFor::Docker => docker(),
        ConfigFor::Systemd => systemd(&program, &socket, &root),
    })
}

/// Read by containerd 1.6 to 2.x, whatever version their file names. `capabilities` of plugins are read since 2.1, and unknown to
/// older ones, so it is left to be uncommented.
fn containerd(socket: &str, root: &str) -> String {
    format!(
        r#"# For /etc/containerd/config.toml; restart containerd after it.
# Images are unpacked with `ctr images pull --snapshotter plywood`, or by CRI as below.
[proxy_plugins.plywood]
  type = "snapshot"
  address = "{socket}"
  # containerd 2.2 and newer, with the driver overlay2: layers of an image are unpacked at once.
  # capabilities = ["rebase"]
  [proxy_plugins.plywood.exports]
    root = "{root}"

# For Kubernetes with containerd 1.x, whose file is of version 2:
# [plugins."io.containerd.grpc.v1.cri".containerd]
#   snapshotter = "plywood"
#   disable_snapshot_annotations = false

# For Kubernetes with containerd 2.x, whose file is of version 3:
# [plugins."io.containerd.cri.v1.images"]
#   snapshotter = "plywood"
# [[plugins."io.containerd.transfer.v1.local".unpack_config]]
#   platform = "linux/amd64"
#   snapshotter = "plywood"
"#
    )
}

fn docker() -> String {
    let file = serde_json::json!({
        "features": { "containerd-snapshotter": true },
        "storage-driver": "plywood",
    });
    // The containerd that Docker uses has to have the plugin; see `--print-config containerd`.
    format!("{file:#}\n")
}

fn systemd(program: &str, socket: &str, root: &str) -> String {
    format!(
        r"# /etc/systemd/system/plywood-snapshotter.socket
[Unit]
Description=Socket of the Plywood snapshotter

[Socket]
ListenStream={socket}
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target

# /etc/systemd/system/plywood-snapshotter.service
[Unit]
Description=Plywood snapshotter for containerd
Requires=plywood-snapshotter.socket
After=plywood-snapshotter.socket
Before=containerd.service

[Service]
Type=notify
ExecStart={program} --root {root} snapshotter --address {socket}
Restart=always
RestartSec=1
# Layers have one open file each while they are worked on.
LimitNOFILE=1048576
# Mounts are containerd's: the snapshotter makes none that others have to see.
KillMode=mixed
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn printed(wanted: ConfigFor) -> String {
        text(wanted, Path::new("/run/p.sock"), Path::new("/var/lib/p")).unwrap()
    }

    #[test]
    fn containerds_part_is_toml_with_and_without_its_comments() {
        let text = printed(ConfigFor::Containerd);
        let parsed: toml::Table = toml::from_str(&text).unwrap();
        let plugin = &parsed["proxy_plugins"]["plywood"];
        assert_eq!(plugin["address"].as_str(), Some("/run/p.sock"));
        assert_eq!(plugin["exports"]["root"].as_str(), Some("/var/lib/p"));
        let settings = text.lines().filter_map(|line| {
            let bare = line.trim_start().strip_prefix("# ").unwrap_or(line);
            let is_setting = bare.trim_start().starts_with('[') || bare.contains(" = ");
            is_setting.then_some(bare)
        });
        let uncommented = settings.collect::<Vec<_>>().join("\n");
        toml::from_str::<toml::Table>(&uncommented).unwrap_or_else(|error| panic!("{error}: {uncommented}"));
    }

    #[test]
    fn dockers_part_is_json() {
        let parsed: serde_json::Value = serde_json::from_str(&printed(ConfigFor::Docker)).unwrap();
        assert_eq!(parsed["storage-driver"], "plywood");
    }

    #[test]
    fn systemds_units_name_the_program_and_the_socket() {
        let text = printed(ConfigFor::Systemd);
        assert!(text.contains("ListenStream=/run/p.sock\n"));
        assert!(text.contains(" --root /var/lib/p snapshotter --address /run/p.sock\n"), "{text}");
    }
}
