//! Lines of pilot-agent and Envoy of all releases: what kind each is, and in which form.

use super::*;

/// Message and kind, by the table of facts 3.2.
const MESSAGES: &[(&str, &str)] = &[
    ("FLAG: --concurrency=\"0\"", "start"),
    ("Version 1.17.2-4c8a2b9-Clean", "start"),
    (
        "Proxy role: model.Proxy{ClusterID:\"\", Type:\"sidecar\"}",
        "start",
    ),
    (
        "Effective config: binaryPath: /usr/local/bin/envoy",
        "start",
    ),
    ("Apply proxy config from env {}", "start"),
    (
        "Apply mesh config from file accessLogFile: /dev/stdout",
        "start",
    ),
    ("Starting proxy agent", "start"),
    ("Received new config, creating new Envoy epoch 0", "start"),
    ("Epoch 0 starting", "start"),
    ("starting", "start"),
    (
        "Envoy command: [-c etc/istio/proxy/envoy-rev.json --drain-time-s 45]",
        "start",
    ),
    ("Opening status port 15020", "start"),
    (
        "connected to delta upstream XDS server: istiod.istio-system.svc:15012",
        "start",
    ),
    (
        "connected to upstream XDS server[1]: istiod.istio-system.svc:15012",
        "start",
    ),
    (
        "Waiting for Envoy proxy to be ready (timeout: 60 seconds)...",
        "start",
    ),
    ("Envoy proxy is ready", "ready"),
    ("Envoy is ready!", "ready"),
    ("Readiness succeeded in 2.18s", "ready"),
    ("Initialization took 1.9s", "ready"),
    (
        "Envoy proxy is NOT ready: server is not live, current state is: DRAINING",
        "not_ready",
    ),
    (
        "Status server has successfully terminated",
        "sigterm_received",
    ),
    ("caught SIGTERM", "sigterm_received"),
    ("caught ENVOY_SIGTERM", "sigterm_received"),
    ("Agent draining Proxy", "drain_start"),
    ("Agent draining Proxy for termination", "drain_start"),
    ("Agent draining proxy", "drain_start"),
    ("handling /drain, starting drain", "drain_endpoint"),
    (
        "Agent draining proxy for 5s, then waiting for active connections to terminate...",
        "drain_wait",
    ),
    (
        "Graceful termination period is 5s, starting...",
        "drain_wait",
    ),
    (
        "Graceful termination period complete, terminating remaining proxies.",
        "grace_complete",
    ),
    ("Checking for active connections...", "active_connections"),
    ("There are still 3 active connections", "active_connections"),
    (
        "downstream_cx_active are not available. This either means",
        "active_connections",
    ),
    (
        "Retrying (2 attempt) to obtain active connections...",
        "active_connections",
    ),
    (
        "There are no more active connections. terminating proxy...",
        "no_active_connections",
    ),
    ("Aborting proxy", "envoy_aborted"),
    ("Epoch 0 aborted normally", "envoy_aborted"),
    ("Envoy aborted normally", "envoy_aborted"),
    ("Envoy aborted abnormally", "envoy_aborted"),
    ("Aborted all epochs", "envoy_aborted"),
    ("Aborted proxy instance", "envoy_aborted"),
    (
        "Agent already drained, exiting immediately",
        "envoy_aborted",
    ),
    (
        "killing proxy caused an error os: process already finished",
        "envoy_aborted",
    ),
    ("Epoch 0 exited with error: signal: killed", "envoy_exited"),
    (
        "Epoch 0 terminated with an error: signal: segmentation fault",
        "envoy_exited",
    ),
    ("Envoy exited with error: exit status 1", "envoy_exited"),
    ("Envoy exited with status signal: killed", "envoy_exited"),
    ("Envoy exited normally", "envoy_exited"),
    (
        "Graceful termination logic ended prematurely, envoy process terminated early",
        "envoy_exited",
    ),
    (
        "Envoy may have been out of memory killed. Check memory usage and limits.",
        "envoy_exited",
    ),
    ("No more active epochs, terminating", "agent_terminated"),
    ("Agent has successfully terminated", "agent_terminated"),
    (
        "handling /quitquitquit, notifying pilot-agent to exit",
        "quitquitquit",
    ),
    ("Error in invoking drain listeners endpoint: EOF", "other"),
    ("Reconciling retry (budget 7)", "other"),
    ("Epoch 0: set retry delay to 200ms, budget to 9", "other"),
    ("JWT policy is third-party-jwt", "other"),
];

#[test]
fn every_message_has_its_kind_in_text_and_json_with_tabs_blanks_and_prefixes() {
    let stamp = "2026-01-02T03:04:05.123401Z";
    for (message, kind) in MESSAGES {
        let json = json!({"time": stamp, "level": "info", "msg": message}).to_string();
        for line in [
            format!("{stamp}\tinfo\t{message}"),
            format!("{stamp} info {message}"),
            format!("{stamp}     info    {message}"),
            format!("{stamp}\u{25b8}info\u{25b8}   {message}   "),
            format!("2026-01-02T03:04:05.123456789Z {stamp}\tinfo\t{message}"),
            format!("2026-01-02 03:04:05.123\t{stamp}\tinfo\t{message}"),
            format!("[pod/web-5d-x/istio-proxy] {stamp}\tinfo\t{message}"),
            format!("web-5d-x istio-proxy {stamp} info {message}"),
            json,
        ] {
            expect(
                &line,
                &json!({"type": "agent", "time": stamp, "level": "info", "scope": null,
                    "message": message, "kind": kind}),
            );
        }
    }
}

#[test]
fn scopes_and_labels_are_parted_from_the_message() {
    for (line, scope, message) in [
        (
            "2026-01-02T03:04:05.123401Z\tinfo\txdsproxy\tconnected to upstream XDS server: istiod:15012\tid=1",
            json!("xdsproxy"),
            "connected to upstream XDS server: istiod:15012",
        ),
        (
            "2026-01-02T03:04:05.123401Z info xdsproxy connected to upstream XDS server: istiod:15012 id=1",
            json!("xdsproxy"),
            "connected to upstream XDS server: istiod:15012",
        ),
        (
            "2021-05-09T03:23:50.311446Z     info    Proxy role      ips=[192.168.198.154 fe80::b94a] type=sidecar id=a.b domain=b.svc.cluster.local",
            Value::Null,
            "Proxy role",
        ),
        (
            "2021-05-09T03:23:50.311446Z info Proxy role ips=[192.168.198.154 fe80::b94a] type=sidecar id=a.b domain=b.svc.cluster.local",
            Value::Null,
            "Proxy role",
        ),
        (
            "2026-01-02T03:04:05.123401Z\tinfo\tads\tADS: \"\" 2 terminated",
            json!("ads"),
            "ADS: \"\" 2 terminated",
        ),
        (
            "2026-01-02T03:04:05.123401Z\tinfo\tcache\tgenerated new workload certificate\tresourceName=default latency=63.6ms ttl=23h59m59s",
            json!("cache"),
            "generated new workload certificate",
        ),
        (
            "2026-01-02T03:04:05.123401Z\terror\taccept tcp [::]:15020: use of closed network connection",
            Value::Null,
            "accept tcp [::]:15020: use of closed network connection",
        ),
    ] {
        expect(
            line,
            &json!({"type": "agent", "scope": scope, "message": message}),
        );
    }
}

#[test]
fn envoy_s_own_lines_are_read_in_every_form() {
    let closed = "StreamAggregatedResources gRPC config stream closed: 13, ";
    for (line, scope, message) in [
        (
            format!("2026-01-02T03:04:05.200000Z\twarning\tenvoy config external/envoy/source/common/config/grpc_stream.h:193\t{closed}\tthread=17"),
            "envoy config",
            closed.trim_end(),
        ),
        (
            format!("2022-06-02T10:04:24.299142Z     warning envoy config    {closed}"),
            "envoy config",
            closed.trim_end(),
        ),
        (
            "2021-03-31T06:44:46.800938Z\tcritical\tenvoy main\t[external/envoy/source/exe/terminate_handler.cc:13] std::terminate called!".to_owned(),
            "envoy main",
            "std::terminate called!",
        ),
        (
            "[2019-06-17 18:47:46.086][818][critical][assert] [external/envoy/source/server/hot_restarting_base.cc:93] assert failure".to_owned(),
            "envoy assert",
            "assert failure",
        ),
        (
            "[2018-03-02 22:27:32.338][23][debug][http] external/envoy/source/common/http/conn_manager_impl.cc:452] [C1175] request".to_owned(),
            "envoy http",
            "[C1175] request",
        ),
        (
            "[Envoy (Epoch 0)] [2020-03-31 12:34:56.789][18][warning][config] [external/envoy/source/common/config/grpc_stream.h:91] gRPC stream closed".to_owned(),
            "envoy config",
            "gRPC stream closed",
        ),
    ] {
        expect(&line, &json!({"type": "envoy", "scope": scope, "message": message, "kind": "other"}));
    }
    expect(
        "2026-01-02T03:04:05.200000Z\twarning\tenvoy main external/envoy/source/server/server.cc:871\tcaught ENVOY_SIGTERM\tthread=12",
        &json!({"type": "envoy", "kind": "sigterm_received", "level": "warning"}),
    );
}
