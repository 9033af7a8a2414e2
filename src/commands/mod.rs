//! The commands, each in its own file.

pub(crate) mod bench;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod commit;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod df;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod layer;
pub(crate) mod load;
pub(crate) mod man;
pub(crate) mod mount;
pub(crate) mod mounts;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod save;
pub(crate) mod sink;
pub(crate) mod snapshotter;
pub(crate) mod tag;
pub(crate) mod umount;

use std::path::Path;

use plywood::{OpenOptions, Plywood};

use crate::arguments::{Arguments, Command};
use crate::config::Config;
use crate::exit::Exit;
use crate::logging;
use crate::output::{Messages, Output};
use crate::program::Program;

/// Where a daemon's store is, which runs as root, unless something says otherwise.
const DAEMONS_ROOT: &str = "/var/lib/plywood";

/// Runs the command that the arguments name.
///
/// # Errors
/// The command's own.
pub(crate) fn run(arguments: Arguments, output: &mut Output, messages: Messages) -> anyhow::Result<Exit> {
    // These need neither a store nor a configuration.
    match &arguments.command {
        Command::Completions(command) => return command.run(output),
        Command::Man(command) => return command.run(output, messages),
        Command::Bench(command) => {
            logging::start(arguments.global.log_level.as_deref(), arguments.global.quiet)?;
            return command.run(output, messages);
        }
        Command::Version => {
            output.line(format_args!("plywood {}", env!("CARGO_PKG_VERSION")))?;
            return Ok(Exit::Done);
        }
        _ => {}
    }
    let config = Config::load(&arguments.global)?;
    if let Command::Snapshotter(command) = &arguments.command {
        let root = config.open.root.as_deref().unwrap_or(Path::new(DAEMONS_ROOT));
        if let Some(printed) = command.print_config(output, root) {
            return printed;
        }
    }
    let log =
        config.log.as_deref().or(matches!(arguments.command, Command::Snapshotter(_)).then_some("info"));
    logging::start(log, arguments.global.quiet)?;
    // A root that was mistyped is one that was named; the caller's own store is made when it is first looked at.
    let must_exist = config.open.root.is_some() && !makes_stores(&arguments.command);
    let options = OpenOptions { must_exist, ..config.open.clone() };
    let plywood = Plywood::open(options)?;
    let mut program = Program { plywood, output, messages, options: config.open };
    dispatch(arguments.command, &mut program)
}

/// Whether a command makes a store where there is none.
fn makes_stores(command: &Command) -> bool {
    match command {
        // Also what says where it is and what it can.
        Command::Pull(_)
        | Command::Load(_)
        | Command::Create(_)
        | Command::Info(_)
        | Command::Snapshotter(_) => true,
        Command::Layer(command) => command.makes_layers(),
        _ => false,
    }
}

fn dispatch(command: Command, program: &mut Program<'_>) -> anyhow::Result<Exit> {
    match command {
        Command::Pull(command) => command.run(program),
        Command::Push(command) => command.run(program),
        Command::Load(command) => command.run(program),
        Command::Save(command) => command.run(program),
        Command::Images(command) => command.run(program),
        Command::Inspect(command) => command.run(program),
        Command::History(command) => command.run(program),
        Command::Tag(command) => command.run(program),
        Command::Rmi(command) => command.run(program),
        Command::Create(command) => command.run(program),
        Command::Ps(command) => command.run(program),
        Command::Rm(command) => command.run(program),
        Command::Commit(command) => command.run(program),
        Command::Changes(command) => command.run(program),
        Command::Diff(command) => command.run(program),
        Command::Cp(command) => command.run(program),
        Command::Export(command) => command.run(program),
        Command::Mount(command) => command.run(program),
        Command::Umount(command) => command.run(program),
        Command::Mounts(command) => command.run(program),
        Command::Layer(command) => command.run(program),
        Command::Snapshotter(command) => command.run(program),
        Command::Info(command) => command.run(program),
        Command::Df(command) => command.run(program),
        Command::Gc(command) => command.run(program),
        Command::Check(command) => command.run(program),
        // Run by then.
        Command::Bench(_) | Command::Completions(_) | Command::Man(_) | Command::Version => Ok(Exit::Done),
    }
}
