//! Which namespaces may be had here?

use std::process::Command;

/// Whether these of the options of `unshare` are permitted, in a user namespace of their own. A plain
/// container has not even that one.
pub(crate) fn permitted(spaces: &[&str]) -> bool {
    let mut attempt = Command::new("unshare");
    attempt.args(["--user", "--map-root-user"]).args(spaces);
    let output = attempt.arg("true").output();
    output.is_ok_and(|output| output.status.success())
}
