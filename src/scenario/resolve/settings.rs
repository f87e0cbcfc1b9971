//! What is watched, what must hold, how often is it repeated, how is the lab set up?

use super::target::object_name;
use super::{Surroundings, fault_at, positive, switched};
use crate::scenario::fault::Ledger;
use crate::scenario::gates::Gates;
use crate::scenario::plan::{Delay, LabPlan, ObservePlan, Repeat};
use crate::scenario::read::{At, List};
use crate::scenario::schema::{self, Checked, Count, DelaySpec, Pattern, Switch, Text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Repeats with `untilUpperBound` where no `max` is written.
const DEFAULT_REPEATS: u32 = 20;

/// What is watched.
pub(super) fn observe(written: Option<schema::Observe>, ledger: &mut Ledger) -> ObservePlan {
    let mut plan = ObservePlan::default();
    let Some(written) = written else {
        return plan;
    };
    let patterns = |list: At<List<Pattern>>| list.value.0.into_iter().map(|at| at.value.0);
    if let Some(logs) = written.logs {
        plan.logs = texts(logs);
    }
    if let Some(list) = written.log_patterns {
        plan.log_patterns = patterns(list).collect();
    }
    if let Some(list) = written.outbound_patterns {
        plan.outbound_patterns = patterns(list).collect();
    }
    plan.access_log_format = written.access_log_format.map(|at| at.value.0);
    if let Some(list) = written.gateways {
        let names = list.value.0.into_iter();
        let names: BTreeSet<String> = names.filter_map(|at| object_name(at, ledger)).collect();
        plan.gateways = names.into_iter().collect();
    }
    plan
}

fn texts(list: At<List<Text>>) -> Vec<String> {
    list.value.0.into_iter().map(|at| at.value.0).collect()
}

/// What must hold.
pub(super) fn gates(written: schema::GatesSpec) -> Gates {
    let default = Gates::default();
    let count = |count: Count| count.0;
    Gates {
        max_failed: switched(written.max_failed, default.max_failed, count),
        min_exposure: switched(written.min_exposure, default.min_exposure, count),
        max_sigkills: switched(written.max_sigkills, default.max_sigkills, count),
        max_outbound_failures: switched(
            written.max_outbound_failures,
            default.max_outbound_failures,
            count,
        ),
        sidecar_outlives_app: switched(
            written.sidecar_outlives_app,
            Some(default.sidecar_outlives_app),
            |flag| flag.0,
        )
        .unwrap_or(false),
        min_drain_margin: switched(written.min_drain_margin, default.min_drain_margin, |span| {
            span.0
        }),
        max_p99: switched(written.max_p99, default.max_p99, |span| span.0),
        max_log_matches: switched(written.max_log_matches, default.max_log_matches, count),
        max_masked: switched(written.max_masked, default.max_masked, count),
    }
}

/// When the run is ended early.
pub(super) fn abort_after(at: Option<At<Switch<Count>>>, ledger: &mut Ledger) -> Option<u64> {
    let at = at?;
    match at.value {
        Switch::Off => None,
        Switch::On(Count(0)) => {
            ledger.add(at.fault_with(
                "would end the run before it begins",
                "for instance `abortAfterFailed: 5000`, or `off`",
            ));
            None
        }
        Switch::On(Count(count)) => Some(count),
    }
}

/// How often it is repeated.
pub(super) fn repeat(at: Option<At<schema::RepeatSpec>>, ledger: &mut Ledger) -> Repeat {
    let once = Repeat {
        max: 1,
        until_upper_bound: None,
    };
    let Some(at) = at else {
        return once;
    };
    let written = &at.value;
    match (&written.times, &written.until_upper_bound) {
        (Some(_), Some(_)) => {
            ledger.add(fault_at(
                &at,
                "has both `times` and `untilUpperBound`",
                "for instance `{times: 3}`, or `{untilUpperBound: 0.01 %, max: 20}`",
            ));
            once
        }
        (_, None) => {
            if let Some(max) = &written.max {
                ledger.add(max.fault_with(
                    "belongs to `untilUpperBound`, which is not there",
                    "for instance `{times: 3}`, or `{untilUpperBound: 0.01 %, max: 20}`",
                ));
            }
            let times = written.times.as_ref();
            let max = times.and_then(|times| positive(times, ledger));
            Repeat {
                max: max.unwrap_or(1),
                until_upper_bound: None,
            }
        }
        (None, Some(bound)) => {
            if bound.value.0 <= 0.0 {
                ledger.add(bound.fault("is a bound that no number of runs can reach"));
            }
            let max = written.max.as_ref();
            let max = max.and_then(|max| positive(max, ledger));
            Repeat {
                max: max.unwrap_or(DEFAULT_REPEATS),
                until_upper_bound: Some(bound.value.0),
            }
        }
    }
}

/// How the lab is set up.
pub(super) fn lab(written: schema::Lab, around: &Surroundings<'_>, ledger: &mut Ledger) -> LabPlan {
    let manifests = written.manifests.map(|list| list.value.0);
    LabPlan {
        manifests: manifests
            .unwrap_or_default()
            .into_iter()
            .filter_map(|at| manifest(&at, around, ledger))
            .collect(),
        endpoint_propagation: written
            .endpoint_propagation
            .and_then(|at| delay(&at, ledger)),
        mesh_propagation: written.mesh_propagation.and_then(|at| delay(&at, ledger)),
        clock_skew: written
            .clock_skew
            .map(|at| at.value.0)
            .unwrap_or_default()
            .into_iter()
            .map(|(node, skew)| (node, skew.value.0))
            .collect(),
        mesh: mesh(written.mesh.map(|at| at.value).unwrap_or_default()),
    }
}

/// The settings of the mesh, as they were written.
fn mesh(written: schema::Mesh) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            settings.insert(key.to_owned(), value);
        }
    };
    set("nativeSidecar", kept(written.native_sidecar));
    set("accessLog", kept(written.access_log));
    set("accessLogFormat", kept(written.access_log_format));
    set("retries", kept(written.retries));
    set("inboundRetry", kept(written.inbound_retry));
    set("idleTimeout", kept(written.idle_timeout));
    set("consecutive5xxErrors", kept(written.consecutive_5xx_errors));
    set(
        "terminationDrainDuration",
        kept(written.termination_drain_duration),
    );
    set("drainDuration", kept(written.drain_duration));
    set("proxyMetadata", kept(written.proxy_metadata));
    set(
        "holdApplicationUntilProxyStarts",
        kept(written.hold_application),
    );
    settings
}

fn kept<T>(at: Option<At<Checked<T>>>) -> Option<Value> {
    at.map(|at| at.value.0)
}

fn manifest(at: &At<Text>, around: &Surroundings<'_>, ledger: &mut Ledger) -> Option<PathBuf> {
    let file = around.folder.join(&at.value.0);
    if file.is_file() {
        return Some(file);
    }
    ledger.add(at.fault_with(
        "does not exist",
        format!("the manifest is looked for at `{}`", file.display()),
    ));
    None
}

fn delay(at: &At<DelaySpec>, ledger: &mut Ledger) -> Option<Delay> {
    match &at.value {
        DelaySpec::Fixed(span) => Some(Delay {
            min: span.0,
            max: span.0,
        }),
        DelaySpec::Between(bounds) => {
            let (min, max) = (bounds.min.as_ref()?, bounds.max.as_ref()?);
            if min.value.0 > max.value.0 {
                ledger.add(min.fault(format!("is more than `max`, which is `{}`", max.written)));
            }
            Some(Delay {
                min: min.value.0,
                max: max.value.0,
            })
        }
    }
}
