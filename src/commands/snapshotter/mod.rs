//! `plywood snapshotter`.

mod print_config;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use plywood_snapshotter::{ServeOptions, SocketOptions, serve};

use crate::exit::Exit;
use crate::output::Output;
use crate::program::Program;

/// Serves containerd's Snapshots interface over the store, until SIGTERM or SIGINT.
///
/// containerd, and through it Docker and Kubernetes, then keep their layers in the store. A socket that systemd hands over is used
/// in the place of one made here. `--print-config` prints what to install.
#[derive(Debug, Args)]
pub(crate) struct Snapshotter {
    /// The socket
    #[arg(long, value_name = "SOCKET", default_value = "/run/plywood/snapshotter.sock")]
    address: PathBuf,
    /// The socket's mode, octal; who may write to it may do anything with the snapshots
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = mode)]
    socket_mode: u32,
    /// The socket's owner as numbers; without the group it is that of the same number
    #[arg(long, value_name = "USER[:GROUP]", value_parser = owner)]
    socket_owner: Option<(u32, u32)>,
    #[arg(
        help = "Offer Prometheus metrics at http://ADDRESS/metrics, ADDRESS being an IP address and a port"
    )]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Print a configuration to install, and do nothing else
    #[arg(long, value_name = "FOR")]
    print_config: Option<ConfigFor>,
}

/// What a configuration is printed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigFor {
    /// A part of /etc/containerd/config.toml
    Containerd,
    /// A part of /etc/docker/daemon.json
    Docker,
    /// A service and a socket for /etc/systemd/system
    Systemd,
}

impl Snapshotter {
    /// Prints a configuration, where that is all that was asked for.
    pub(crate) fn print_config(
        &self,
        output: &mut Output,
        root: &std::path::Path,
    ) -> Option<anyhow::Result<Exit>> {
        let wanted = self.print_config?;
        let text = print_config::text(wanted, &self.address, root);
        Some(text.and_then(|text| {
            output.line(text.trim_end())?;
            Ok(Exit::Done)
        }))
    }

    pub(crate) fn run(self, program: &Program<'_>) -> anyhow::Result<Exit> {
        let socket = SocketOptions { path: self.address, mode: self.socket_mode, owner: self.socket_owner };
        let options = ServeOptions { socket, metrics: self.metrics };
        serve(program.plywood.store().clone(), &options)?;
        Ok(Exit::Done)
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "it takes up to three octal digits, such as 660".to_owned())
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| "it takes numbers, such as 0:990".to_owned());
    Ok((number(user)?, number(group)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_owners_are_numbers() {
        assert_eq!(mode("660"), Ok(0o660));
        assert!(mode("888").is_err() && mode("7777").is_err() && mode("").is_err());
        assert_eq!(owner("0:990"), Ok((0, 990)));
        assert_eq!(owner("5"), Ok((5, 5)));
        assert!(owner("root").is_err() && owner("1:").is_err());
    }
}
