//! fuse-union beside the kernel's overlayfs and fuse-overlayfs, on three lower layers with 20,000 files: one table.
//!
//! ```text
//! cargo bench -p plywood-fuse-union --bench table -- [--rounds 5] [--folder DIR] [--peer NAME=PROGRAM [ARGUMENT...] --]...
//! ```
//!
//! Rounds are interleaved: each round does all rows on one contender after the other, in an order that turns. Every run has upper
//! and work folders of its own, which stay until the end (ext4 avoids inodes that were freed a moment ago). The first round only warms up.
//! A figure is a contender's median over the kernel overlay's. As a test (`cargo test --benches`) it does one round on a tree of a few files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measurement ends where something fails, and uses files as programs do"
)]

mod contender;
mod rows;
mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use contender::{Contender, Kind};
use rows::{ROWS, Row};
use tree::{Size, Tree};

/// What the command line asks for.
struct Asked {
    rounds: usize,
    size: Size,
    folder: PathBuf,
    contenders: Vec<Contender>,
}

/// The seconds of each row and contender.
type Times = BTreeMap<(usize, usize), Vec<Duration>>;

fn main() {
    let asked = read_arguments();
    let folder = tempfile::Builder::new().prefix("fuse-bench-").tempdir_in(&asked.folder).unwrap();
    contender::take_own_mounts();
    let tree = Tree::make(folder.path(), &asked.size);
    let mut times = Times::new();
    for round in 0..=asked.rounds {
        for turn in 0..asked.contenders.len() {
            let number = (turn + round) % asked.contenders.len();
            let contender = &asked.contenders[number];
            let measured = rows::measure(contender, &tree, &format!("{round}-{number}"));
            if round > 0 {
                for (row, time) in measured.into_iter().enumerate() {
                    times.entry((row, number)).or_default().push(time);
                }
            }
            eprintln!("round {round} of {}: {}", asked.rounds, contender.name);
        }
    }
    print(&asked, &times);
}

fn read_arguments() -> Asked {
    let mut arguments = std::env::args().skip(1);
    let mut asked = Asked {
        rounds: 5,
        size: Size::SMALL,
        folder: std::env::temp_dir(),
        contenders: vec![
            Contender::new("overlay", Kind::Kernel),
            Contender::new("as root", Kind::FuseUnion { io: "auto" }),
            Contender::new("without", Kind::FuseUnion { io: "noopen" }),
        ],
    };
    let mut measured = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => measured = true,
            "--rounds" => asked.rounds = arguments.next().unwrap().parse().unwrap(),
            "--folder" => asked.folder = arguments.next().unwrap().into(),
            "--peer" => {
                let (name, program) =
                    arguments.next().map(|peer| peer.split_once('=').map(owned)).unwrap().unwrap();
                let words =
                    std::iter::once(program).chain(arguments.by_ref().take_while(|word| word != "--"));
                asked.contenders.push(Contender::new(&name, Kind::Peer { command: words.collect() }));
            }
            other => panic!("{other} is none of --rounds, --folder and --peer"),
        }
    }
    if measured {
        asked.size = Size::WHOLE;
    } else {
        // As a test: whether it runs.
        asked.rounds = 1;
    }
    asked
}

fn owned((name, program): (&str, &str)) -> (String, String) {
    (name.to_owned(), program.to_owned())
}

fn print(asked: &Asked, times: &Times) {
    let heads: Vec<String> =
        asked.contenders.iter().skip(1).map(|contender| contender.name.clone()).collect();
    println!("| | overlay, ms | {} | limit | |", heads.join(" | "));
    println!("|---|---|{}---|---|", "---|".repeat(heads.len()));
    for (row, Row { name, limits, .. }) in ROWS.iter().enumerate() {
        let kernel = median(&times[&(row, 0)]);
        let ratios: Vec<f64> =
            (1..asked.contenders.len()).map(|number| median(&times[&(row, number)]) / kernel).collect();
        let shown: Vec<String> = ratios
            .iter()
            .enumerate()
            .map(|(number, ratio)| format!("{ratio:.2} ({})", spread(&times[&(row, number + 1)], kernel)))
            .collect();
        println!(
            "| {name} | {:.0} ({}) | {} | {} | {} |",
            kernel * 1e3,
            spread(&times[&(row, 0)], kernel),
            shown.join(" | "),
            limits.shown(),
            limits.verdict(&ratios)
        );
    }
}

fn median(times: &[Duration]) -> f64 {
    let mut sorted: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The fastest and the slowest, over the kernel's median.
fn spread(times: &[Duration], kernel: f64) -> String {
    let of = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64) / kernel;
    format!("{:.2}-{:.2}", of(times.iter().min()), of(times.iter().max()))
}
