//! Recordings are kept as archives.

use std::path::Path;

/// The folder of an unpacked recording; it goes with the value.
pub(crate) fn unpack(archive: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let file = std::fs::File::open(archive)
        .unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    tar::Archive::new(flate2::read::GzDecoder::new(file))
        .unpack(folder.path())
        .expect("a whole archive");
    folder
}
