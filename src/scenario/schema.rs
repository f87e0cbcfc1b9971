//! What may be written in a scenario?
//!
//! The documents below are the schema: their keys, types, examples and sentences make the reader,
//! the faults and the JSON Schema of `lastwatch schema`. What a scenario means is decided after
//! that, in `resolve`.

mod choice;
mod value;

pub(super) use choice::{DelaySpec, StepSpec, TextFrom};
pub(super) use value::{
    Checked, Count, Flag, OneOrMany, Pattern, Rate, Share, Skew, Span, Switch, Text, Weight,
};

use super::fault::Ledger;
use super::plan;
use super::read::{List, Named, Read, Spot, document, scalar};
use super::tree::Node;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;
use value::{unknown_word, words};

words! {
    /// The version of the schema.
    ApiVersion(()) { "lastwatch.dev/v1alpha1" => (), }
}

words! {
    /// The kind of the document.
    DocumentKind(()) { "Scenario" => (), }
}

words! {
    /// Where the load comes from.
    From(plan::LoadFrom) {
        "local" => plan::LoadFrom::Local,
        "pod" => plan::LoadFrom::Pod,
        "meshed-pod" => plan::LoadFrom::MeshedPod,
    }
}

words! {
    /// How arrivals are spaced.
    ArrivalKind(plan::Arrival) {
        "constant" => plan::Arrival::Constant,
        "poisson" => plan::Arrival::Poisson,
    }
}

document! {
    /// A scenario: which workload is disturbed how, under which load, and what must hold.
    Scenario {
        /// The version of the schema.
        api_version "apiVersion": ApiVersion = "lastwatch.dev/v1alpha1" required;
        /// The kind of the document.
        kind "kind": DocumentKind = "Scenario" required;
        /// The scenario's name.
        metadata "metadata": Metadata = "{name: rolling-restart}" required;
        /// What is done and what must hold.
        spec "spec": Spec = "{target: {workload: deployment/demo, service: demo}}" required;
    }
}

document! {
    /// The scenario's name, and what else people note.
    Metadata {
        /// The name: lower case letters, digits, `-` and `.`.
        name "name": Text = "rolling-restart" required;
        /// Labels, free.
        labels "labels": Named<Text> = "{team: shop}";
        /// Annotations, free.
        annotations "annotations": Named<Text> = "{note: nightly}";
    }
}

document! {
    /// What is done and what must hold.
    Spec {
        /// What is disturbed and what is asked.
        target "target": Target = "{workload: deployment/demo, service: demo}" required;
        /// The load.
        load "load": Load = "{rate: 200/s, requests: [{path: /}]}" required;
        /// The disruptions, one after the other.
        steps "steps": List<StepSpec> = "[{rollingRestart: {}}]" required;
        /// What is watched beside the API objects.
        observe "observe": Observe = "{logs: [app]}";
        /// The conditions that the run must meet.
        gates "gates": GatesSpec = "{maxFailed: 0, minExposure: 200}";
        /// The run is ended early beyond this many failed requests.
        abort_after_failed "abortAfterFailed": Switch<Count> = "5000", default "off";
        /// The share of failed requests in the baseline beyond which the run says nothing.
        max_baseline_failed "maxBaselineFailed": Share = "1%", default "1%";
        /// How often steps and `settle` are repeated; nothing is undone in between.
        repeat "repeat": RepeatSpec = "{times: 3}";
        /// How the embedded lab is set up; ignored against a real cluster.
        lab "lab": Lab = "{manifests: [demo.yaml]}";
    }
}

document! {
    /// What is disturbed and what is asked.
    Target {
        /// The workload, as kubectl names it. Only a Deployment can be disturbed; others can be watched.
        workload "workload": Text = "deployment/demo" required;
        /// The namespace, where the command line has no `--namespace`; else that of the context.
        namespace "namespace": Text = "shop";
        /// The Service that the load asks, by plain HTTP/1.1.
        service "service": Text = "demo";
        /// The Service's port, its number or its name; else its only one.
        port "port": Text = "80";
        /// Asked instead, by HTTP/1.1 over `http` or `https`: an ingress or a load balancer.
        url "url": Text = "http://demo.example.org";
    }
}

document! {
    /// The load.
    Load {
        /// Where it comes from.
        from "from": From = "local", default "local";
        /// Arrivals per second, minute or hour.
        rate "rate": Rate = "200/s";
        /// Rates one after the other, instead of `rate`.
        stages "stages": List<StageSpec> = "[{rate: 50/s, for: 10s}, {rate: 200/s}]";
        /// How arrivals are spaced.
        arrival "arrival": ArrivalKind = "constant", default "constant";
        /// The connections.
        connections "connections": ConnectionsSpec = "{new: 50%, pool: 16}";
        /// The classes of requests.
        requests "requests": List<Request> = "[{name: fast, path: /}]" required;
        /// Load without disruption: the control.
        baseline "baseline": Span = "5s", default "5s";
        /// Load after the last old pod is gone.
        settle "settle": Span = "5s", default "5s";
    }
}

document! {
    /// A rate for a while.
    StageSpec {
        /// Arrivals per second, minute or hour.
        rate "rate": Rate = "200/s" required;
        /// For how long; the last stage goes on to the end.
        duration "for": Span = "10s";
    }
}

document! {
    /// The connections of the load.
    ConnectionsSpec {
        /// The share of requests that get a connection of their own.
        new "new": Share = "50%", default "50%";
        /// Kept connections at most.
        pool "pool": Count = "16", default 16;
        /// A kept connection is closed after this many requests.
        max_requests "maxRequests": Count = "1000";
        /// A kept connection that was idle for this long is closed.
        max_idle "maxIdle": Span = "30s";
    }
}

document! {
    /// A class of requests.
    Request {
        /// Its name in the report; else its path.
        name "name": Text = "fast";
        /// Its share among the weights of all classes.
        weight "weight": Weight = "95", default 1;
        /// The HTTP method.
        method "method": Text = "GET", default "GET";
        /// The path with its query.
        path "path": Text = "/" required;
        /// Headers; a value can come from the environment or from a file.
        headers "headers": Named<TextFrom> = "{authorization: {fromEnv: TOKEN}}";
        /// The body; it can come from the environment or from a file.
        body "body": TextFrom = "{fromFile: order.json}";
        /// The patience, from the intended send time to the last byte.
        timeout "timeout": Span = "10s", default "10s";
        /// The request's id goes into the query as well.
        id_in_query "idInQuery": Flag = "true", default false;
        /// Which answers are fine; else every status below 400.
        expect "expect": Expect = "{status: 200}";
    }
}

document! {
    /// Which answers are fine.
    Expect {
        /// The status, or several.
        status "status": OneOrMany<Count> = "[200, 204]";
        /// A regular expression that the body must match.
        body "body": Pattern = "\"ok$\"";
    }
}

document! {
    /// As `kubectl rollout restart`.
    RollingRestartStep {
        /// The step fails when it is not over by then; else as long as the workload may take.
        timeout "timeout": Span = "5m";
    }
}

document! {
    /// Changes the number of replicas.
    ScaleStep {
        /// The number of replicas.
        to "to": Count = "1" required;
        /// The step fails when it is not over by then; else as long as the workload may take.
        timeout "timeout": Span = "5m";
    }
}

document! {
    /// Deletes ready pods of the workload.
    DeletePodStep {
        /// How many.
        pods "pods": Count = "1", default 1;
        /// The grace period instead of the pod's own, in whole seconds.
        grace "grace": Span = "30s";
        /// The step fails when it is not over by then; else as long as the workload may take.
        timeout "timeout": Span = "5m";
    }
}

document! {
    /// Evicts ready pods of the workload through the eviction API.
    EvictStep {
        /// How many.
        pods "pods": Count = "1", default 1;
        /// The step fails when it is not over by then; else as long as the workload may take.
        timeout "timeout": Span = "5m";
    }
}

document! {
    /// Changes a container's image.
    SetImageStep {
        /// The container; else the only one.
        container "container": Text = "app";
        /// The image.
        image "image": Text = "registry.example.org/demo:2" required;
        /// The step fails when it is not over by then; else as long as the workload may take.
        timeout "timeout": Span = "5m";
    }
}

document! {
    /// What is watched beside the API objects.
    Observe {
        /// Containers whose logs the run needs; else all are followed and none is needed.
        logs "logs": List<Text> = "[app, istio-proxy]";
        /// Regular expressions whose matches are counted (`maxLogMatches`).
        log_patterns "logPatterns": List<Pattern> = "[\"upstream connect error\"]";
        /// Regular expressions that tell a lost outbound call in an app's log.
        outbound_patterns "outboundPatterns": List<Pattern> = "[\"connection refused\"]";
        /// Envoy's format string of a custom TEXT access log.
        access_log_format "accessLogFormat": Text = "\"[%START_TIME%] %RESPONSE_CODE%\"";
        /// Namespaces whose gateways, waypoints and ztunnels may stand on the way; those of the
        /// target's own that belong to a Gateway are always watched.
        gateways "gateways": List<Text> = "[istio-system]";
    }
}

document! {
    /// The conditions that the run must meet; `off` switches one off.
    GatesSpec {
        /// Failed requests that the control does not explain.
        max_failed "maxFailed": Switch<Count> = "0", default 0;
        /// Requests that must have been started while a pod was going.
        min_exposure "minExposure": Switch<Count> = "200", default 200;
        /// Containers killed by SIGKILL.
        max_sigkills "maxSigkills": Switch<Count> = "0", default 0;
        /// Calls that going pods lost after their sidecar had ended.
        max_outbound_failures "maxOutboundFailures": Switch<Count> = "0", default 0;
        /// No sidecar may end before its app, or stay on after an app that is over.
        sidecar_outlives_app "sidecarOutlivesApp": Switch<Flag> = "true", default true;
        /// The smallest drain margin that a pod may have.
        min_drain_margin "minDrainMargin": Switch<Span> = "1s", default "off";
        /// The slowest 99th percentile.
        max_p99 "maxP99": Switch<Span> = "500ms", default "off";
        /// Log lines that match `observe.logPatterns`.
        max_log_matches "maxLogMatches": Switch<Count> = "0", default "off";
        /// Requests that only a proxy's retry saved.
        max_masked "maxMasked": Switch<Count> = "0", default "off";
    }
}

document! {
    /// How often steps and `settle` are repeated.
    RepeatSpec {
        /// This often.
        times "times": Count = "3", default 1;
        /// Until the upper bound of the failure probability is below this share.
        until_upper_bound "untilUpperBound": Share = "0.01 %";
        /// With `untilUpperBound`: at most this often.
        max "max": Count = "20", default 20;
    }
}

document! {
    /// How the embedded lab is set up.
    Lab {
        /// Manifests to apply, named from the scenario's folder.
        manifests "manifests": List<Text> = "[../manifests/demo/graceful.yaml]";
        /// How long an endpoint change takes to reach a node's service proxy.
        endpoint_propagation "endpointPropagation": DelaySpec = "800ms";
        /// The same for the proxies of a mesh, after istiod's debounce.
        mesh_propagation "meshPropagation": DelaySpec = "200ms";
        /// By how much each node's clock is ahead.
        clock_skew "clockSkew": Named<Skew> = "{node1: 3s}";
        /// Settings of the mesh.
        mesh "mesh": Mesh = "{terminationDrainDuration: 5s}";
    }
}

words! {
    /// What the proxies log.
    AccessLog(()) { "true" => (), "false" => (), "TEXT" => (), "JSON" => (), }
}

words! {
    /// What the proxies try again towards other pods.
    Retries(()) { "since-1.24" => (), "before-1.24" => (), "none" => (), }
}

document! {
    /// Settings of the lab's mesh, named as Istio names its own where it has them.
    Mesh {
        /// Sidecars are native ones, where a pod does not say otherwise.
        native_sidecar "nativeSidecar": Checked<Flag> = "true";
        /// Whether the proxies log requests, and in which encoding.
        access_log "accessLog": Checked<AccessLog> = "JSON";
        /// The format of their log, in Envoy's operators.
        access_log_format "accessLogFormat": Checked<Text> = "\"[%START_TIME%] %RESPONSE_CODE%\"";
        /// What is tried again towards other pods.
        retries "retries": Checked<Retries> = "none";
        /// Requests are tried again towards the own app.
        inbound_retry "inboundRetry": Checked<Flag> = "false";
        /// A pooled connection that was idle for this long is closed.
        idle_timeout "idleTimeout": Checked<Span> = "2s";
        /// A host is ejected after so many answers of 5xx in a row.
        consecutive_5xx_errors "consecutive5xxErrors": Checked<Count> = "5";
        /// How long a classic sidecar drains before it ends.
        termination_drain_duration "terminationDrainDuration": Checked<Span> = "5s";
        /// How long Envoy's drain takes.
        drain_duration "drainDuration": Checked<Span> = "45s";
        /// The environment of the proxies.
        proxy_metadata "proxyMetadata": Checked<Named<Text>> = "{EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"}";
        /// An app starts after its proxy is ready.
        hold_application "holdApplicationUntilProxyStarts": Checked<Flag> = "true";
    }
}
