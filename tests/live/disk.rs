//! What if the record cannot be written any more?

use crate::namespaces::permitted;
use crate::node::Node;
use crate::practice::Practice;
use crate::shown::shown;
use crate::{NO_EXPOSURE, QUIET, begin_with, ended, is_one, left_nothing};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// What starts a command with a disk of its own in the place of a folder, on which `size` fits.
fn on_a_disk<'a>(size: &str, folder: &'a Path, script: &'a mut String) -> Vec<&'a str> {
    std::fs::create_dir_all(folder).unwrap();
    *script = format!("mount -t tmpfs -o size={size} small \"$0\" && exec \"$@\"");
    let folder = folder.to_str().unwrap();
    vec![
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        folder,
    ]
}

#[test]
fn a_full_disk_ends_the_run_with_an_error_and_no_verdict() {
    if !permitted(&["--mount"]) {
        eprintln!("not tried: no small disk can be mounted here");
        return;
    }
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let (directory, mut script) = (practice.run_directory(), String::new());
    let around = on_a_disk("32k", &directory, &mut script);
    let run = begin_with(&practice, &scenario, &around);
    let text = ended(&run.wait_with_output().unwrap(), 70);
    assert!(text.contains("No space left on device"), "{text}");
    assert!(text.contains("failed to write `"), "{text}");
    assert!(!text.contains("PASS"), "{text}");
    left_nothing(&practice);
}

#[test]
fn a_disk_that_fills_up_after_a_change_does_not_keep_it_from_being_undone() {
    if !permitted(&["--mount"]) {
        eprintln!("not tried: no small disk can be mounted here");
        return;
    }
    let practice = Practice::alive(&Node::new(Duration::from_millis(200)));
    let before = practice.at_rest();
    let scenario = practice.scenario("[{scale: {to: 1}}, {wait: 60s}]", NO_EXPOSURE);
    let (directory, mut script) = (practice.run_directory(), String::new());
    let around = on_a_disk("4m", &directory, &mut script);
    let run = begin_with(&practice, &scenario, &around);
    practice.wait_for_demo("change", is_one);
    // The disk as the program sees it.
    let place = format!("/proc/{}/root{}/filler", run.id(), directory.display());
    let mut filler = std::fs::File::create(&place).expect(&place);
    let full = loop {
        if let Err(error) = filler.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    let text = ended(&run.wait_with_output().unwrap(), 70);
    assert!(text.contains("No space left on device"), "{text}");
    assert!(
        text.contains("restored: deployment/demo spec.replicas: `1` -> `2`"),
        "{text}"
    );
    assert!(!text.contains("PASS"), "{text}");
    assert_eq!(practice.at_rest(), before, "{text}");
}

#[test]
fn a_limit_of_a_files_size_is_an_error_and_no_sudden_death() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let around = ["sh", "-c", "ulimit -f 40 && exec \"$@\"", "sh"];
    let run = begin_with(&practice, &scenario, &around);
    let output = run.wait_with_output().unwrap();
    let text = ended(&output, 70);
    assert!(text.contains("File too large"), "{}", shown(&output));
    assert!(!text.contains("PASS"), "{text}");
    left_nothing(&practice);
}
