//! Holds the layers of `ARCHITECTURE.md`: a module imports only from layers below its own, and
//! every file under `src` is reachable from `lib.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules by layer. Modules of one layer are strangers to each other.
const LAYERS: &[(&str, u32)] = &[
    ("error", 0),
    ("task", 0),
    ("scenario", 1),
    ("evidence", 1),
    ("cluster", 2),
    ("load", 3),
    ("observe", 3),
    ("disrupt", 3),
    ("attribution", 4),
    ("verdict", 5),
    ("report", 6),
    ("run", 7),
    ("cli", 8),
];

/// `lab` stands beside the layers: it may use the two lowest, and only `cli` may use it.
const SIDE: &str = "lab";

fn layer(module: &str) -> Option<u32> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

fn sources(root: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root).expect("src is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn top_module(path: &Path) -> String {
    let relative = path.strip_prefix("src").expect("below src");
    let first = relative.components().next().expect("a component");
    let name = first.as_os_str().to_string_lossy();
    name.strip_suffix(".rs").unwrap_or(&name).to_owned()
}

/// The `crate::x` that a source names outside comments, each of a `crate::{x, y}`.
fn imports(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim_start);
    let code: Vec<&str> = lines.filter(|line| !line.starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for piece in code.split("crate::").skip(1) {
        match piece.strip_prefix('{') {
            Some(list) => found.extend(listed(list)),
            None => {
                found.insert(first_name(piece));
            }
        }
    }
    found
}

fn first_name(path: &str) -> String {
    let path = path.trim_start();
    path.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

/// The first name of each path in braces whose opening one was read.
fn listed(list: &str) -> Vec<String> {
    let mut found = vec![first_name(list)];
    let mut open = 1;
    for (at, char) in list.char_indices() {
        match char {
            '{' => open += 1,
            '}' => open -= 1,
            ',' if open == 1 => found.push(first_name(&list[at + 1..])),
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    // A comma may follow the last one.
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn every_name_in_braces_is_an_import() {
    let text = "// use crate::cli;\nuse crate::{a, b::{c, d}, e};\nuse crate::{\n    f::G,\n    h,\n};\nlet x = crate::i::J;";
    let names: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(names, ["a", "b", "e", "f", "h", "i"]);
}

#[test]
fn a_module_imports_only_from_layers_below_its_own() {
    let mut faults = Vec::new();
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    assert!(files.len() > 10, "src was not found");
    for path in files {
        let module = top_module(&path);
        if module == "lib" || module == "main" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        for import in imports(&text) {
            let allowed = if import == module {
                true
            } else if import == SIDE {
                module == "cli"
            } else if module == SIDE {
                layer(&import).is_some_and(|layer| layer <= 1)
            } else {
                match (layer(&module), layer(&import)) {
                    (Some(own), Some(other)) => other < own,
                    (_, None) => !import.is_empty() && !LAYERS.iter().any(|(n, _)| *n == import),
                    (None, _) => false,
                }
            };
            if !allowed {
                faults.push(format!("{} imports `crate::{import}`", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_is_reachable_from_lib() {
    let mut reachable = BTreeSet::new();
    visit(Path::new("src/lib.rs"), Path::new("src"), &mut reachable);
    reachable.insert(PathBuf::from("src/main.rs"));
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let orphans: Vec<_> = files
        .iter()
        .filter(|path| !reachable.contains(*path))
        .collect();
    assert!(orphans.is_empty(), "declared by no `mod`: {orphans:?}");
}

fn visit(file: &Path, folder: &Path, reachable: &mut BTreeSet<PathBuf>) {
    reachable.insert(file.to_owned());
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    for line in text.lines() {
        let code = line.trim_start();
        let code = code
            .strip_prefix("pub(crate) ")
            .or_else(|| code.strip_prefix("pub(super) "))
            .or_else(|| code.strip_prefix("pub "))
            .unwrap_or(code);
        let Some(name) = code
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'))
        else {
            continue;
        };
        let child = folder.join(format!("{name}.rs"));
        visit(&child, &folder.join(name), reachable);
    }
}
