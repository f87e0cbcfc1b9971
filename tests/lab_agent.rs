//! The agent of the lab's sidecars, beside a real Envoy in namespaces of its own, ends as the
//! recorded pilot-agent did: the same lines, in the same order, as far apart (facts 9).
//!
//! Each test needs an Envoy (`scripts/get-envoy`), user namespaces, `ip`, `nft` and `unshare`; where
//! one is missing there is nothing to compare, and the test says so.

#![cfg(target_os = "linux")]

use lastwatch::lab::mesh::{Injector, Settings, find_envoy, run_istiod};
use lastwatch::lab::store::Store;
use lastwatch::observe::logs::parse::{AgentKind, AgentLine, IstioLine, istio_proxy};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One pod: its network, the redirect, an app, the sidecar, and what happens to it. The states
/// that the test waits for are files in `$OUT`.
const POD: &str = r#"
set -e
PATH="$PATH:/usr/sbin:/sbin"
ip link set lo up
ip link add eth0 type veth peer name other
ip addr add 10.244.0.3/32 dev eth0
ip link set eth0 up
ip link set other up
ip route add default dev eth0
"$LASTWATCH" lab agent redirect
"$LASTWATCH" lab app >"$OUT/app.log" 2>&1 &
"$LASTWATCH" lab agent proxy >"$OUT/proxy.log" 2>&1 &
agent=$!
tries=0
until "$LASTWATCH" lab agent request GET healthz/ready 2>/dev/null >/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || exit 9
    sleep 0.1
done
eval "$ACTION"
code=0
wait "$agent" || code=$?
echo "$code" >"$OUT/code"
"#;

/// What must be there for a comparison, or why there is none.
fn available() -> Result<std::path::PathBuf, String> {
    let envoy = find_envoy(None).map_err(|error| error.to_string())?;
    let unshared = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
        ])
        .args([
            "sh",
            "-c",
            "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && nft list ruleset",
        ])
        .output();
    match unshared {
        Ok(output) if output.status.success() => Ok(envoy),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Lets a pod with this `proxy.istio.io/config` live through `action`; gives its lines about the
/// end, from the first one after `action` began, and the agent's exit code.
#[expect(clippy::print_stdout, reason = "a test that compares nothing says so")]
fn end(config: &str, action: &str) -> Option<(Vec<AgentLine<'static>>, i32)> {
    let envoy = match available() {
        Ok(envoy) => envoy,
        Err(reason) => {
            println!("not compared: {reason}");
            return None;
        }
    };
    let folder = tempfile::tempdir().expect("it works on this machine");
    let out = folder.path();
    let store = Store::new();
    let injector = Injector {
        settings: Settings::default(),
        envoy,
        dir: out.to_owned(),
    };
    store.set_injector(injector);
    let pod = cluster(&store, config);
    let runtime = tokio::runtime::Runtime::new().expect("it works on this machine");
    let stop = CancellationToken::new();
    let istiod = run_istiod(
        Arc::clone(&store),
        Settings::default(),
        None,
        out.to_owned(),
        stop.clone(),
    );
    let istiod = runtime.spawn(istiod);
    let status = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
        ])
        .args(["--kill-child", "sh", "-c", POD])
        .envs(environment(&pod))
        .env("LASTWATCH", env!("CARGO_BIN_EXE_lastwatch"))
        .env("OUT", out)
        .env("ACTION", action)
        .env("ON_TERM", "serve")
        .stdin(Stdio::null())
        .status()
        .expect("it works on this machine");
    stop.cancel();
    runtime
        .block_on(istiod)
        .expect("istiod does not panic")
        .expect("nor fail");
    let log = read(&out.join("proxy.log"));
    assert!(status.success(), "{status}\n{log}");
    let code = read(&out.join("code"))
        .trim()
        .parse()
        .expect("it works on this machine");
    Some((ending(&log), code))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A Service, its slice and an injected pod that was assigned to a node.
fn cluster(store: &Store, config: &str) -> Arc<Value> {
    store
        .create("namespaces", json!({"metadata": {"name": "default"}}))
        .expect("an empty store takes it");
    let service = json!({
        "metadata": {"name": "demo"},
        "spec": {"selector": {"app": "demo"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    });
    store
        .create("services", service)
        .expect("it works on this machine");
    let pod = json!({
        "metadata": {
            "name": "demo-1",
            "labels": {"app": "demo", "sidecar.istio.io/inject": "true"},
            "annotations": {"proxy.istio.io/config": config},
        },
        "spec": {"nodeName": "lab-node-1", "containers": [{"name": "app", "image": "lastwatch/lab-app"}]},
    });
    store.create("pods", pod).expect("it works on this machine")
}

/// The sidecar's environment as a kubelet would resolve it.
fn environment(pod: &Value) -> Vec<(String, String)> {
    let containers = pod["spec"]["containers"].as_array().expect("a list");
    let sidecar = containers.iter().find(|one| one["name"] == "istio-proxy");
    let entries = sidecar.expect("it was injected")["env"]
        .as_array()
        .expect("a list");
    entries
        .iter()
        .map(|entry| {
            let name = entry["name"].as_str().expect("text").to_owned();
            let value = match entry["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                Some("metadata.name") => pod["metadata"]["name"].as_str(),
                Some("metadata.namespace") => pod["metadata"]["namespace"].as_str(),
                Some("metadata.uid") => pod["metadata"]["uid"].as_str(),
                Some("status.podIP") => Some("10.244.0.3"),
                _ => entry["value"].as_str(),
            };
            (name, value.expect("a value that we resolve").to_owned())
        })
        .collect()
}

/// The agent's lines after its proxy had become ready.
fn ending(log: &str) -> Vec<AgentLine<'static>> {
    let agents = log.lines().filter_map(|line| match istio_proxy(line) {
        IstioLine::Agent(line) => Some(line),
        _ => None,
    });
    let mut lines: Vec<AgentLine<'static>> = Vec::new();
    for line in agents {
        match line.kind {
            AgentKind::Ready => lines.clear(),
            _ => match IstioLine::Agent(line).into_owned() {
                IstioLine::Agent(line) => lines.push(line),
                _ => unreachable!("it stays what it is"),
            },
        }
    }
    lines
}

/// Asserts messages in their order, each with its distance from the first in seconds.
fn expect(found: &[AgentLine<'static>], expected: &[(&str, f64)]) {
    let told: Vec<_> = found
        .iter()
        .filter(|line| line.kind != AgentKind::NotReady)
        .map(|line| (line.message.as_ref(), line.at.expect("a stamp")))
        .collect();
    let first = told.first().map_or(0, |(_, at)| *at);
    let told: Vec<_> = told
        .iter()
        .map(|(message, at)| {
            (
                *message,
                Duration::from_nanos((at - first).unsigned_abs()).as_secs_f64(),
            )
        })
        .collect();
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for ((message, after), (wanted, then)) in told.iter().zip(expected) {
        assert_eq!(message, wanted, "{told:#?}");
        // 0.3 s is what the recordings bound; a busy machine wakes late.
        assert!(
            (after - then).abs() < 0.3,
            "`{message}` came at {after} s, not {then}"
        );
    }
}

#[test]
fn a_stock_proxy_leaves_after_five_seconds() {
    let Some((lines, code)) = end("{}", "kill -TERM $agent") else {
        return;
    };
    expect(
        &lines,
        &[
            ("Status server has successfully terminated", 0.0),
            ("Agent draining Proxy for termination", 0.0),
            ("Graceful termination period is 5s, starting...", 0.0),
            (
                "Graceful termination period complete, terminating remaining proxies.",
                5.0,
            ),
            ("Aborting proxy", 5.0),
            ("Envoy aborted normally", 5.0),
            ("Aborted proxy instance", 5.0),
            ("Agent has successfully terminated", 5.0),
            ("ADS: \"\" 1 terminated", 5.0),
        ],
    );
    assert_eq!(code, 0);
}

#[test]
fn a_longer_termination_drain_is_kept() {
    let Some((lines, code)) = end("terminationDrainDuration: 7s", "kill -TERM $agent") else {
        return;
    };
    assert_eq!(
        lines[2].message,
        "Graceful termination period is 7s, starting..."
    );
    let waited = lines[3].at.unwrap() - lines[2].at.unwrap();
    assert!((7_000_000_000..7_300_000_000).contains(&waited), "{waited}");
    assert_eq!(code, 0);
}

#[test]
fn exit_on_zero_ends_at_the_first_count_after_the_minimum() {
    let config = "proxyMetadata:\n  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"\n";
    let Some((lines, code)) = end(config, "kill -TERM $agent") else {
        return;
    };
    expect(
        &lines,
        &[
            ("Status server has successfully terminated", 0.0),
            ("Agent draining Proxy for termination", 0.0),
            (
                "Agent draining proxy for 5s, then waiting for active connections to terminate...",
                0.0,
            ),
            ("Checking for active connections...", 5.0),
            (
                "There are no more active connections. terminating proxy...",
                6.0,
            ),
            ("Aborting proxy", 6.0),
            ("Envoy aborted normally", 6.0),
            ("Aborted proxy instance", 6.0),
            ("Agent has successfully terminated", 6.0),
            ("ADS: \"\" 1 terminated", 6.0),
        ],
    );
    assert_eq!(code, 0);
}

#[test]
fn a_minimum_drain_duration_is_waited_out() {
    let config = "proxyMetadata:\n  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"\n  MINIMUM_DRAIN_DURATION: 8s\n";
    let Some((lines, _)) = end(config, "kill -TERM $agent") else {
        return;
    };
    let of = |kind| {
        lines
            .iter()
            .find(|line| line.kind == kind)
            .unwrap()
            .at
            .unwrap()
    };
    let waited = of(AgentKind::ActiveConnections) - of(AgentKind::DrainWait);
    assert!((8_000_000_000..8_300_000_000).contains(&waited), "{waited}");
}

#[test]
fn a_drained_proxy_leaves_at_once() {
    let action = "\"$LASTWATCH\" lab agent request POST drain; sleep 2; kill -TERM $agent";
    let Some((lines, code)) = end("{}", action) else {
        return;
    };
    expect(
        &lines[..2],
        &[
            ("handling /drain, starting drain", 0.0),
            ("Agent draining proxy", 0.0),
        ],
    );
    let rest: Vec<_> = lines[2..]
        .iter()
        .map(|line| line.message.as_ref())
        .collect();
    assert_eq!(
        rest[..3],
        [
            "Status server has successfully terminated",
            "Agent draining Proxy for termination",
            "Agent already drained, exiting immediately",
        ]
    );
    assert!(rest.contains(&"Agent has successfully terminated"));
    assert!(rest.contains(&"Aborting proxy"));
    let took = lines.last().unwrap().at.unwrap() - lines[2].at.unwrap();
    assert!(took < 300_000_000, "{took}");
    assert_eq!(code, 0);
}

#[test]
fn a_proxy_that_is_asked_to_quit_leaves_at_once() {
    let Some((lines, code)) = end("{}", "\"$LASTWATCH\" lab agent request POST quitquitquit")
    else {
        return;
    };
    expect(
        &lines,
        &[
            ("handling /quitquitquit, notifying pilot-agent to exit", 0.0),
            ("Status server has successfully terminated", 0.0),
            ("Agent draining Proxy for termination", 0.0),
            ("Agent already drained, exiting immediately", 0.0),
            ("Aborting proxy", 0.0),
            ("Agent has successfully terminated", 0.0),
            ("ADS: \"\" 1 terminated", 0.0),
        ],
    );
    assert_eq!(code, 0);
}

#[test]
fn an_envoy_that_dies_takes_the_agent_with_it_and_the_agent_says_so() {
    let Some((lines, _)) = end("{}", "kill -KILL $(pgrep -x envoy)") else {
        return;
    };
    let told: Vec<_> = lines.iter().map(|line| line.kind).collect();
    assert_eq!(told, [AgentKind::EnvoyExited; 2], "{lines:#?}");
}
