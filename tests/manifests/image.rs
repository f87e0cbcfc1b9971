//! The `Dockerfile`, read as its builder would, since it is not built where these tests run.

use super::{documents, files};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where the program of an `ENTRYPOINT` without a folder is looked for in both base images.
const PATH: &str = "/usr/local/bin";

struct Stage {
    image: String,
    name: String,
    /// Instructions with what follows them.
    steps: Vec<(String, String)>,
}

impl Stage {
    fn all(&self, instruction: &str) -> impl Iterator<Item = &str> {
        let own = self
            .steps
            .iter()
            .filter(move |(name, _)| name == instruction);
        own.map(|(_, rest)| rest.as_str())
    }
}

fn stages(dockerfile: &str) -> Vec<Stage> {
    let lines = dockerfile.lines().filter(|line| !line.starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut stages: Vec<Stage> = Vec::new();
    for line in joined.lines().filter(|line| !line.trim().is_empty()) {
        let (instruction, rest) = line.split_once(' ').unwrap_or((line, ""));
        if instruction == "FROM" {
            let (image, name) = rest.split_once(" AS ").unwrap_or((rest, ""));
            stages.push(Stage {
                image: image.to_owned(),
                name: name.to_owned(),
                steps: Vec::new(),
            });
            continue;
        }
        let stage = stages.last_mut().expect("FROM is the first instruction");
        stage.steps.push((instruction.to_owned(), rest.to_owned()));
    }
    stages
}

/// Why the images that clusters are given could not be built from it, or would not run.
fn faults(dockerfile: &str) -> Vec<String> {
    let stages = stages(dockerfile);
    let mut faults = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        let copies = stage.all("COPY").filter_map(|copy| {
            let fault = unknown_source(copy, &stages[..index])?;
            Some(format!("COPY {copy}: {fault}"))
        });
        faults.extend(copies);
    }
    let rust = stages
        .iter()
        .filter_map(|stage| stage.image.strip_prefix("rust:"));
    let rust: Vec<&str> = rust.collect();
    match rust.as_slice() {
        [tag] if builds(tag, env!("CARGO_PKG_RUST_VERSION")) => {}
        other => faults.push(format!("no Rust that is new enough: {other:?}")),
    }
    for target in targets() {
        match stages.iter().find(|stage| stage.name == target) {
            Some(stage) => faults.extend(unfit(stage)),
            None => faults.push(format!("no target {target}")),
        }
    }
    faults
}

/// What is wrong with a `COPY`, whose sources are this repository's or made in a stage before.
fn unknown_source(copy: &str, before: &[Stage]) -> Option<String> {
    let (from, paths) = match copy.strip_prefix("--from=") {
        Some(rest) => rest
            .split_once(' ')
            .map(|(from, rest)| (Some(from), rest))?,
        None => (None, copy),
    };
    let mut sources: Vec<&str> = paths.split_whitespace().collect();
    sources.pop();
    let Some(from) = from else {
        let missing = sources
            .iter()
            .find(|source| !Path::new(source).exists() || ignored(source));
        return missing.map(|source| format!("no {source}"));
    };
    let Some(stage) = before.iter().find(|stage| stage.name == from) else {
        return Some(format!("no stage {from} before it"));
    };
    let makes = |source: &str| {
        let mut steps = stage.steps.iter();
        steps.any(|(_, rest)| rest.split_whitespace().any(|word| word == source))
    };
    let missing = sources.iter().find(|source| !makes(source));
    missing.map(|source| format!("{from} makes no {source}"))
}

/// The builder is not given it.
fn ignored(path: &str) -> bool {
    let ignored = fs::read_to_string(".dockerignore").unwrap();
    let path = path.trim_start_matches("./");
    ignored
        .lines()
        .any(|line| line.trim_matches('/') == path.trim_matches('/'))
}

/// The image of this tag (`1.90-bookworm`) has that Rust or a newer one; parts that a tag leaves out are
/// the newest.
fn builds(tag: &str, wanted: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let version = text.split('-').next().unwrap_or_default();
        version.split('.').map_while(|n| n.parse().ok()).collect()
    };
    let (own, wanted) = (numbers(tag), numbers(wanted));
    let shown = own.len().min(wanted.len());
    shown > 0 && own[..shown] >= wanted[..shown]
}

/// What would keep the containers of a stage from running as ours are asked to.
fn unfit(stage: &Stage) -> Vec<String> {
    let name = &stage.name;
    let mut faults = Vec::new();
    // The kubelet believes `runAsNonRoot` of a number only.
    let user = stage.all("USER").last().unwrap_or("root");
    let number = user.split(':').next().and_then(|id| id.parse::<u32>().ok());
    if number.is_none_or(|id| id == 0) {
        faults.push(format!("{name} runs as {user}"));
    }
    let entry = stage.all("ENTRYPOINT").last().unwrap_or("[]");
    let entry: Vec<String> = serde_json::from_str(entry).unwrap_or_default();
    let program = entry.first().map_or("", String::as_str);
    let copied = stage
        .all("COPY")
        .filter_map(|copy| copy.split(' ').next_back());
    let found = copied.into_iter().any(|target| {
        target == program || target.strip_prefix(&format!("{PATH}/")) == Some(program)
    });
    if !found {
        faults.push(format!("{name} starts `{program}`, which is not in it"));
    }
    faults
}

/// The targets that `scripts/kind-up` builds, tags `lastwatch/TARGET` and loads.
fn targets() -> BTreeSet<String> {
    let script = fs::read_to_string("scripts/kind-up").unwrap();
    assert!(script.contains(r#"--target "$target" --tag "lastwatch/$target" ."#));
    let list = script.lines().find_map(|line| {
        let list = line.strip_prefix("for target in ")?;
        list.strip_suffix("; do")
    });
    let list = list.expect("it loops over its targets");
    list.split(' ').map(str::to_owned).collect()
}

/// The images that an object's containers are made of.
fn images(object: &Value, found: &mut BTreeSet<String>) {
    match object {
        Value::Object(map) => {
            found.extend(map.get("image").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| images(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| images(value, found)),
        _ => {}
    }
}

#[test]
fn the_dockerfile_builds_the_images_that_manifests_name() {
    let dockerfile = fs::read_to_string("Dockerfile").unwrap();
    assert_eq!(faults(&dockerfile), Vec::<String>::new());
    for needed in ["Cargo.toml", "Cargo.lock", "src", "benches"] {
        assert!(!ignored(needed), "{needed} is not given to the builder");
    }
    let mut named = BTreeSet::new();
    for path in files("manifests", "yaml") {
        for document in documents(&path) {
            images(&document, &mut named);
        }
    }
    let built = targets()
        .into_iter()
        .map(|name| format!("lastwatch/{name}"));
    assert_eq!(named, built.collect());
}

#[test]
fn a_dockerfile_whose_parts_do_not_fit_is_told_so() {
    let dockerfile = fs::read_to_string("Dockerfile").unwrap();
    for (part, other, fault) in [
        ("COPY . .", "COPY sources .", "no sources"),
        ("COPY . .", "COPY target .", "no target"),
        (" AS build", " AS builder", "no stage build before it"),
        (
            "release/lastwatch /lastwatch",
            "x /y",
            "makes no /lastwatch",
        ),
        ("rust:1-", "rust:1.88-", "no Rust that is new enough"),
        ("rust:1-", "debian:", "no Rust that is new enough"),
        (" AS lab-app", " AS app", "no target lab-app"),
        ("USER 65532:65532", "USER nobody", "runs as nobody"),
        ("USER 65532:65532", "USER 0:0", "runs as 0:0"),
        ("USER 65532:65532", "", "runs as root"),
        ("[\"lastwatch\"]", "[\"watch\"]", "starts `watch`"),
        (
            " /usr/local/bin/lastwatch",
            " /opt/lastwatch",
            "starts `lastwatch`",
        ),
    ] {
        let broken = dockerfile.replace(part, other);
        assert_ne!(broken, dockerfile, "{part}");
        let told = faults(&broken);
        let known = told.iter().any(|told| told.contains(fault));
        assert!(known, "{part} as {other}: {told:?}");
    }
    for (tag, fits) in [
        ("1", true),
        ("1.89", true),
        ("1.90.1-slim", true),
        ("1.9", false),
    ] {
        assert_eq!(builds(tag, "1.89"), fits, "{tag}");
    }
}
