//! Where is the Envoy that the sidecars run?

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The lab's own copy, below the working directory.
const OWN: &str = ".envoy/envoy";

/// The variable that names an Envoy.
pub(super) const VARIABLE: &str = "LASTWATCH_ENVOY";

/// There is no Envoy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvoyError {
    /// One was named, and it is not there.
    #[error("there is no program `{}`, which {by} names\nhint: scripts/get-envoy fetches one", path.display())]
    Named {
        /// What was named.
        path: PathBuf,
        /// By what.
        by: &'static str,
    },
    /// None was found.
    #[error(
        "the lab's sidecars need an Envoy, and there is none in `--envoy`, `LASTWATCH_ENVOY`, PATH or `.envoy/`\nhint: scripts/get-envoy fetches one"
    )]
    Missing,
}

/// Looks for Envoy: the argument, `LASTWATCH_ENVOY`, PATH, `.envoy/`.
///
/// # Errors
///
/// When the one that is named is not there, or none is.
pub fn find(argument: Option<&Path>) -> Result<PathBuf, EnvoyError> {
    let variable = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let path = std::env::var_os("PATH").unwrap_or_default();
    among(
        argument,
        variable.as_deref().map(Path::new),
        &path,
        Path::new(OWN),
    )
}

fn among(
    argument: Option<&Path>,
    variable: Option<&Path>,
    path: &OsStr,
    own: &Path,
) -> Result<PathBuf, EnvoyError> {
    for (named, by) in [(argument, "`--envoy`"), (variable, VARIABLE)] {
        if let Some(named) = named {
            return there(named).ok_or_else(|| EnvoyError::Named {
                path: named.to_owned(),
                by,
            });
        }
    }
    std::env::split_paths(path)
        .map(|folder| folder.join("envoy"))
        .find_map(|candidate| there(&candidate))
        .or_else(|| there(own))
        .ok_or(EnvoyError::Missing)
}

/// The absolute path of a program that is there.
fn there(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let known = std::fs::metadata(path).ok()?;
    let runs = known.is_file() && known.permissions().mode() & 0o111 != 0;
    runs.then(|| path.canonicalize().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_argument_comes_before_the_variable_the_path_and_the_own_copy() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let program = folder.join("envoy");
            std::fs::write(&program, "").unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            program.canonicalize().unwrap()
        };
        let (named, variable, path, own) = (make("a"), make("b"), make("c"), make("d"));
        let folder = dir.path().join("c");
        let folder = folder.as_os_str();
        let none = OsStr::new("");
        assert_eq!(
            among(Some(&named), Some(&variable), folder, &own),
            Ok(named)
        );
        assert_eq!(among(None, Some(&variable), folder, &own), Ok(variable));
        assert_eq!(among(None, None, folder, &own), Ok(path));
        assert_eq!(among(None, None, none, &own), Ok(own));
        let nowhere = dir.path().join("x");
        assert_eq!(among(None, None, none, &nowhere), Err(EnvoyError::Missing));
        let error = among(Some(&nowhere), None, folder, &nowhere).unwrap_err();
        assert!(
            error.to_string().contains("which `--envoy` names"),
            "{error}"
        );
    }
}
