//! What happened, when, and by whose clock?
//!
//! [`Event`] is the one form in which facts travel; [`RunDir`] keeps them on disk; [`Timeline`] is
//! the frozen record of a run that attribution and verdict read. Instants are [`Interval`]s on the
//! harness's monotonic clock, in nanoseconds since the start of the run; a stamp of another clock
//! becomes one only through an offset that is bounded from causality (facts 6).

mod asked;
mod budgets;
mod clocks;
mod drain;
mod endpoints;
mod event;
mod listed;
mod marked;
mod object;
mod places;
mod pod_events;
mod pods;
mod request;
mod retries;
mod rules;
mod sink;
mod stamp;
mod store;
mod timeline;
mod unstored;

pub use budgets::Budgets;
pub use clocks::{
    Bound, ClockOffsets, Constraint, OffsetBound, STAMP_WIDTH, WATCH_LATENCY, object_constraints,
};
pub use drain::{DRAIN_DURATION, DrainSettings, go_duration};
pub use endpoints::{EndpointChange, EndpointHistory, EndpointState};
pub(crate) use event::gateways_in;
pub use event::{
    ApiExchange, Blindness, Change, ClientInfo, Event, EventKind, Harness, LatencySummary,
    LogNotice, PodProbe, ProbeOutcome, RequestCounts, Resource, RunPhase, Source, StepEvent,
};
pub use marked::MarkedRequest;
pub use object::epoch;
pub(crate) use object::{controller, has_sidecar, is_proxy, list, ran, text};
pub use places::Hints;
pub(crate) use pod_events::stops_for_good;
pub use pod_events::{PodEvent, pod_events};
pub use pods::{
    ContainerEnd, ContainerSpec, ContainerStart, Deletion, FLOOR, PodLife, RestartPolicy, Role,
    Shortening, replica_set_owners,
};
pub use request::{
    Connection, ConnectionKind, ErrorClass, FailedRequest, Outcome, RequestPhase, ResponseFacts,
};
pub use retries::RetryCounts;
pub(crate) use retries::host_prefix;
pub use rules::{ServiceRules, TrafficPolicy};
pub use sink::{EventSink, Fact, RunClock};
pub use stamp::{Clock, Interval, RunOffset};
pub use store::{Error, LogLine, Origin, RunDir, RunInfo, RunWriter, SCHEMA_VERSION};
pub use timeline::{ContainerLog, Timeline};
pub use unstored::Unstored;
