//! What if somebody sets this machine's clock in the midst of a run?
//!
//! The program is started with a library before libc that adds a number from a file to the wall
//! clock, and to nothing else: as a step does, without one for everybody else on this machine.

use crate::node::Node;
use crate::practice::Practice;
use crate::{NO_EXPOSURE, begin_with, ended, phase, phases};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static volatile long *ahead;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("AHEAD"), O_RDONLY);
    void *shared = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED)
        ahead = shared;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && ahead)
        now->tv_sec += *ahead;
    return result;
}
"#;

/// Compiles the library. Whoever can link Rust has a `cc`.
fn library(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("ahead.c"), folder.join("ahead.so"));
    std::fs::write(&source, LIBRARY).unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl");
    let output = compiler.output().expect("a C compiler");
    assert!(output.status.success(), "{output:?}");
    library
}

/// Everything in an event that is an offset of the run, in nanoseconds.
fn instants(event: &Value) -> [i64; 2] {
    [&event["at"]["lo"], &event["at"]["hi"]].map(|instant| instant.as_i64().unwrap())
}

#[test]
fn a_step_of_the_wall_clock_is_recorded_and_moves_no_instant() {
    let folder = tempfile::tempdir().unwrap();
    let preload = format!("LD_PRELOAD={}", library(folder.path()).display());
    for step in [7_i64, -5] {
        let practice = Practice::alive(&Node::new(Duration::from_secs(1)));
        let before = practice.at_rest();
        let scenario = practice.scenario("[{scale: {to: 1}}, {wait: 2s}]", NO_EXPOSURE);
        let ahead = practice.folder.path().join("ahead");
        std::fs::write(&ahead, 0_i64.to_ne_bytes()).unwrap();
        let shared = format!("AHEAD={}", ahead.display());
        let begun = Instant::now();
        let run = begin_with(&practice, &scenario, &["env", &preload, &shared]);
        practice.wait_for_event("disruption", phase("disruption"));
        std::fs::write(&ahead, step.to_ne_bytes()).unwrap();
        let text = ended(&run.wait_with_output().unwrap(), 2);
        let longest = i64::try_from(begun.elapsed().as_nanos()).unwrap();
        assert_eq!(phases(&practice).last().unwrap(), "finished", "{text}");
        let told = format!("this machine's clock jumped by {step:+}");
        assert!(text.contains(&told), "{told}: {text}");

        let report = practice.report();
        let reasons = report["reasons"].as_array().unwrap();
        let stepped = reasons
            .iter()
            .filter(|why| why.to_string().contains("clock"));
        assert_eq!(stepped.count(), 1, "it is told once: {reasons:?}");
        for event in practice.events() {
            let [lo, hi] = instants(&event);
            assert!(lo <= hi && hi <= longest, "{event} {text}");
        }
        // The API server shares the clock that the run began with.
        let clocks = report["clocks"].as_array().unwrap();
        let server = clocks.iter().find(|clock| clock["clock"] == "apiserver");
        let server = server.unwrap_or_else(|| panic!("{clocks:?}"));
        for side in ["lo", "hi"] {
            let offset = server[side].as_i64().unwrap();
            assert!(offset.abs() < 200_000_000, "{server}");
        }
        assert_eq!(practice.at_rest(), before, "{text}");
    }
}
