//! `plywood check`.

use clap::Args;
use plywood::graph::CheckOptions;
use serde_json::json;

use crate::exit::Exit;
use crate::program::Program;
use crate::show;

/// Verifies records, recipes, mounts, and every byte of every layer. Prints each problem; exits with 1 when there is
/// one.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Verify the records only, and read no file
    #[arg(long)]
    quick: bool,
    /// Mark damaged layers, so that the next pull of their image makes them anew
    #[arg(long)]
    mark: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let mut problems = Vec::new();
        let options = CheckOptions { quick: self.quick, mark: self.mark };
        let report = program.plywood.check(options, &mut |problem| problems.push(problem.to_string()))?;
        if self.json {
            program.output.json(&json!({
                "Problems": problems,
                "Images": report.images,
                "Layers": report.layers,
                "BytesVerified": report.bytes_verified,
            }))?;
        } else {
            for problem in &problems {
                program.output.line(problem)?;
            }
        }
        program.messages.note(format_args!(
            "checked {} images and {} layers, verified {}: {}",
            report.images,
            report.layers,
            show::size(report.bytes_verified),
            match problems.len() {
                0 => "no damage".to_owned(),
                1 => "1 problem".to_owned(),
                count => format!("{count} problems"),
            }
        ));
        Ok(if problems.is_empty() { Exit::Done } else { Exit::No })
    }
}
