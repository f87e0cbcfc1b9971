//! Which load does the scenario ask for?

use super::request::request;
use super::{Surroundings, fault_at, positive};
use crate::scenario::fault::Ledger;
use crate::scenario::plan::{Arrival, Connections, LoadFrom, LoadPlan, RequestClass, Stage};
use crate::scenario::read::{At, List};
use crate::scenario::schema;
use std::collections::BTreeMap;
use std::time::Duration;

/// Baseline and settle time where none is written.
const DEFAULT_PHASE: Duration = Duration::from_secs(5);

/// A shorter baseline is no control.
const SHORTEST_BASELINE: Duration = Duration::from_secs(1);

/// Kept connections where none are written.
const DEFAULT_POOL: usize = 16;

/// Resolves the load.
pub(super) fn load(
    at: At<schema::Load>,
    around: &Surroundings<'_>,
    ledger: &mut Ledger,
) -> Option<LoadPlan> {
    let stages = stages(&at, ledger);
    let written = at.value;
    let connections = connections(written.connections, ledger);
    let requests = written
        .requests
        .and_then(|requests| requests_of(requests, around, ledger));
    if let Some(baseline) = &written.baseline
        && baseline.value.0 < SHORTEST_BASELINE
    {
        ledger.add(baseline.fault("is too short for a control, which takes a second at least"));
    }
    Some(LoadPlan {
        from: written.from.map_or(LoadFrom::Local, |at| at.value.0),
        stages: stages?,
        arrival: written.arrival.map_or(Arrival::Constant, |at| at.value.0),
        connections: connections?,
        requests: requests?,
        baseline: written.baseline.map_or(DEFAULT_PHASE, |at| at.value.0),
        settle: written.settle.map_or(DEFAULT_PHASE, |at| at.value.0),
    })
}

fn stages(at: &At<schema::Load>, ledger: &mut Ledger) -> Option<Vec<Stage>> {
    match (&at.value.rate, &at.value.stages) {
        (Some(_), Some(stages)) => {
            ledger.add(fault_at(
                stages,
                "stands beside `rate`, and only one of them can be meant",
                "leave `rate` out, or make it the rate of a stage",
            ));
            None
        }
        (Some(rate), None) => Some(vec![Stage {
            rate: rate.value.0,
            duration: None,
        }]),
        (None, Some(stages)) => staged(stages, ledger),
        (None, None) if ledger.blames(&at.spot.key("rate", "").path) => None,
        (None, None) if ledger.blames(&at.spot.key("stages", "").path) => None,
        (None, None) => {
            ledger.add(fault_at(
                at,
                "has no `rate`",
                "for instance `rate: 200/s`, or `stages: [{rate: 50/s, for: 10s}, {rate: 200/s}]`",
            ));
            None
        }
    }
}

fn staged(list: &At<List<schema::StageSpec>>, ledger: &mut Ledger) -> Option<Vec<Stage>> {
    let stages = &list.value.0;
    if stages.is_empty() {
        ledger.add(fault_at(list, "is empty", list.spot.hint()));
        return None;
    }
    for stage in &stages[..stages.len() - 1] {
        if stage.value.duration.is_none() {
            ledger.add(fault_at(
                stage,
                "has no `for`, so the stages after it would never begin",
                "for instance `{rate: 50/s, for: 10s}`; only the last stage may go on to the end",
            ));
        }
    }
    for duration in stages
        .iter()
        .filter_map(|stage| stage.value.duration.as_ref())
    {
        if duration.value.0.is_zero() {
            ledger.add(duration.fault("is no time at all"));
        }
    }
    stages
        .iter()
        .map(|stage| {
            Some(Stage {
                rate: stage.value.rate.as_ref()?.value.0,
                duration: stage.value.duration.as_ref().map(|at| at.value.0),
            })
        })
        .collect()
}

fn connections(
    at: Option<At<schema::ConnectionsSpec>>,
    ledger: &mut Ledger,
) -> Option<Connections> {
    let mut connections = Connections {
        new: 0.5,
        pool: DEFAULT_POOL,
        max_requests: None,
        max_idle: None,
    };
    let Some(written) = at.map(|at| at.value) else {
        return Some(connections);
    };
    if let Some(new) = &written.new {
        connections.new = new.value.0;
    }
    if let Some(pool) = &written.pool {
        connections.pool = super::fitting(pool, ledger)?;
        if connections.pool == 0 && connections.new < 1.0 {
            ledger.add(pool.fault_with(
                "leaves no connection for the requests that are to use kept ones",
                "for instance `pool: 16`, or `new: 100%`",
            ));
        }
    }
    if let Some(max) = &written.max_requests {
        connections.max_requests = Some(positive(max, ledger)?);
    }
    connections.max_idle = written.max_idle.map(|at| at.value.0);
    Some(connections)
}

fn requests_of(
    list: At<List<schema::Request>>,
    around: &Surroundings<'_>,
    ledger: &mut Ledger,
) -> Option<Vec<RequestClass>> {
    if list.value.0.is_empty() {
        ledger.add(fault_at(
            &list,
            "is empty, so nothing would be sent",
            list.spot.hint(),
        ));
        return None;
    }
    let weights = list.value.0.iter().map(|request| &request.value.weight);
    if weights
        .clone()
        .all(|weight| weight.as_ref().is_some_and(|at| at.value.0 == 0.0))
    {
        ledger.add(fault_at(
            &list,
            "all have weight 0, so nothing would be sent",
            "give at least one of them a weight, for instance `weight: 1`",
        ));
    }
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut classes = Vec::new();
    for at in list.value.0 {
        let (line, spot) = (at.line, at.spot.clone());
        let Some(class) = request(at.value, around, ledger) else {
            continue;
        };
        if let Some(first) = lines.insert(class.name.clone(), line) {
            ledger.add(crate::scenario::fault::Fault {
                line,
                path: spot.key("name", "").path,
                value: Some(class.name.clone()),
                problem: format!("is already the name of the request on line {first}"),
                hint: "the report tells requests apart by their `name`".to_owned(),
            });
        }
        classes.push(class);
    }
    Some(classes)
}
