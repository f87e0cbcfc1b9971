//! Which namespaces may be had here?

use std::process::Command;

/// Whether these of the options of `unshare` are permitted, in a user namespace of their own. A plain
/// container has not even that one. `scripts/test` demands them where it has found them permitted, so
/// that no test is left out unseen.
pub(crate) fn permitted(spaces: &[&str]) -> bool {
    let mut attempt = Command::new("unshare");
    attempt.args(["--user", "--map-root-user"]).args(spaces);
    let output = attempt.arg("true").output();
    let permitted = output.as_ref().is_ok_and(|output| output.status.success());
    let demanded = std::env::var_os("LASTWATCH_TEST_NAMESPACES").is_some();
    assert!(permitted || !demanded, "{attempt:?} gave {output:?}");
    permitted
}
