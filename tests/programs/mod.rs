//! The program `fuse-union`, which serves the mounts of that driver, beside the test's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// Builds it, once in this process. Cargo builds the programs of other packages only together with their tests; where cargo did not start this
/// process, the program is where it was put, or is missed by who needs it.
///
/// # Panics
/// Where it does not compile.
pub fn build() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let (Some(cargo), Ok(own)) = (std::env::var_os("CARGO"), std::env::current_exe()) else { return };
        // TARGET/PROFILE/deps/NAME
        let Some(profile) = own.parent().and_then(Path::parent) else { return };
        let (Some(target), Some(name)) = (profile.parent(), profile.file_name()) else { return };
        let name = if name == "debug" { "dev".as_ref() } else { name };
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--package", "plywood-fuse-union", "--bin", "fuse-union", "--profile"])
            .arg(name)
            .arg("--target-dir")
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(status.is_ok_and(|status| status.success()), "fuse-union was not built");
    });
}

/// Where it is, once it was built.
///
/// # Panics
/// Where it does not compile.
#[allow(dead_code, reason = "not everybody who has this module needs it")]
pub fn fuse_union() -> PathBuf {
    build();
    // TARGET/PROFILE/deps/NAME
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).unwrap_or(&own).join("fuse-union")
}
