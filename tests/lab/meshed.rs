//! Which Envoy do sidecars run here?

#[path = "namespaces.rs"]
mod namespaces;

use lastwatch::lab::mesh::find_envoy;
use std::path::PathBuf;

/// The one of `scripts/get-envoy`; `None`: where namespaces are not permitted there is no mesh.
#[expect(clippy::print_stderr, reason = "a test that tries nothing says so")]
pub(crate) fn envoy() -> Option<PathBuf> {
    if !namespaces::permitted(&["--net", "--pid", "--fork"]) {
        eprintln!("not tried: namespaces are not permitted");
        return None;
    }
    Some(find_envoy(None).unwrap_or_else(|error| panic!("{error}")))
}
