//! `plywood info`.

use clap::Args;
use plywood::{Capabilities, Ownership, Privilege};
use serde_json::{Map, Value, json};

use crate::exit::Exit;
use crate::program::Program;

/// Shows the store, its driver and what the caller may do.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(self, program: &mut Program<'_>) -> anyhow::Result<Exit> {
        let value = collect(program)?;
        if self.json {
            program.output.json(&value)?;
        } else {
            lines(program, &value, 0)?;
        }
        Ok(Exit::Done)
    }
}

fn collect(program: &Program<'_>) -> anyhow::Result<Value> {
    let plywood = &program.plywood;
    let driver = plywood.driver();
    let status: Map<String, Value> =
        driver.status()?.fields.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    let ownership = match plywood.ownership() {
        Ownership::FromLayer => "as layers name them",
        Ownership::Caller => "the caller's",
    };
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "host": {
            "architecture": std::env::consts::ARCH,
            "kernel": rustix::system::uname().release().to_string_lossy(),
            "privilege": privilege(plywood.privilege()),
        },
        "store": {
            "root": plywood.root(),
            "driver": driver.name(),
            "driverStatus": status,
            "capabilities": capabilities(&driver.capabilities()),
            "owners": ownership,
            "durability": format!("{:?}", program.options.durability).to_lowercase(),
            "workers": plywood.workers(),
            "images": plywood.images()?.len(),
            "containers": plywood.containers()?.len(),
            "layers": plywood.layers()?.len(),
            "snapshots": plywood.snapshots()?.len(),
            "mounts": plywood.mounts()?.len(),
        },
    }))
}

fn privilege(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Root => "root",
        Privilege::NamespaceRoot => "root of a user namespace",
        Privilege::NarrowNamespaceRoot => "root of a user namespace with few users",
        Privilege::None => "none",
    }
}

fn capabilities(facts: &Capabilities) -> Value {
    json!({
        "maxDepth": facts.max_depth,
        "independentApply": facts.independent_apply,
        "nativeDiff": facts.native_diff,
        "rootless": facts.rootless,
        "mounts": facts.mounts,
        "quota": facts.quota,
        "deviceBacked": facts.device_backed,
        "sharesPageCache": facts.shares_page_cache,
    })
}

/// Shows an object as `podman info` does: a key a line, inner ones indented.
fn lines(program: &mut Program<'_>, value: &Value, depth: usize) -> anyhow::Result<()> {
    let indent = "  ".repeat(depth);
    for (key, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(_) => {
                program.output.line(format_args!("{indent}{key}:"))?;
                lines(program, value, depth + 1)?;
            }
            Value::String(text) => program.output.line(format_args!("{indent}{key}: {text}"))?,
            Value::Null => program.output.line(format_args!("{indent}{key}: none"))?,
            other => program.output.line(format_args!("{indent}{key}: {other}"))?,
        }
    }
    Ok(())
}
