//! `plywood check`.

use clap::Args;
use plywood::Location;
use plywood::graph::{CheckOptions, Originals, Repaired};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::interrupt;
use crate::program::Program;
use crate::progress::Shown;
use crate::show;

/// Verifies records, recipes, mounts, and every file of every layer. Prints each problem; exits with 1 when there is
/// one, after a repair when one is left.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "independent wishes, not states of one thing")]
pub(crate) struct Check {
    /// Verify the records only, and read no file
    #[arg(long)]
    quick: bool,
    /// Mark damaged layers, so that the next pull of their image makes them anew
    #[arg(long)]
    mark: bool,
    /// Make damaged layers anew, from what the store still has and from --from; what cannot be is named, and stays marked
    #[arg(long)]
    repair: bool,
    /// Where to take layers from that the store does not have any more: oci:DIR, oci-archive:FILE or docker-archive:FILE
    #[arg(long, value_name = "SOURCE", requires = "repair")]
    from: Vec<Location>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Several sources, one after the other.
struct Sources(Vec<plywood::image::Originals>);

impl Originals for Sources {
    fn open(&self, diff_id: &plywood::Digest) -> std::io::Result<Option<Box<dyn std::io::Read + Send>>> {
        for source in &self.0 {
            if let Some(bytes) = source.open(diff_id)? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

impl Check {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let mut problems = Vec::new();
        let options = CheckOptions { quick: self.quick, mark: self.mark || self.repair };
        let mut report = program.plywood.check(options, &mut |problem| problems.push(problem.to_string()))?;
        let mut repaired = None;
        if self.repair && !problems.is_empty() {
            if !self.json {
                problems.iter().try_for_each(|problem| program.output.line(problem))?;
            }
            repaired = Some(self.repair(program)?);
            problems.clear();
            report = program.plywood.check(options, &mut |problem| problems.push(problem.to_string()))?;
        }
        if self.json {
            program.output.json(&json!({
                "Problems": problems,
                "Images": report.images,
                "Layers": report.layers,
                "BytesVerified": report.bytes_verified,
                "Repaired": repaired.as_ref().map(as_json),
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

    fn repair(&self, program: &mut Program<'_>) -> anyhow::Result<Repaired> {
        let open = |location| plywood::image::Originals::open(&program.plywood, location);
        let sources = Sources(self.from.iter().map(open).collect::<Result<_, _>>()?);
        interrupt::catch();
        let progress = Shown::unpacking(program.messages);
        let repaired = program.plywood.repair(&sources, &progress)?;
        progress.end();
        if !self.json {
            for (layer, origin) in &repaired.restored {
                program.output.line(format_args!("layer {layer} was restored from {origin}"))?;
            }
            for lost in &repaired.unrepaired {
                program.output.line(format_args!("{} cannot be restored: {}", lost.what, lost.reason))?;
            }
        }
        Ok(repaired)
    }
}

fn as_json(repaired: &Repaired) -> Value {
    let restored = repaired
        .restored
        .iter()
        .map(|(layer, origin)| json!({"Id": layer.as_str(), "From": origin.to_string()}));
    let lost = repaired.unrepaired.iter().map(|lost| json!({"What": lost.what, "Reason": lost.reason}));
    json!({
        "Restored": restored.collect::<Vec<_>>(),
        "Replaced": repaired.replaced.iter().map(plywood::LayerId::as_str).collect::<Vec<_>>(),
        "Lost": lost.collect::<Vec<_>>(),
    })
}
