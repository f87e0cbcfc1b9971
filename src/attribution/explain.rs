//! Which causes could explain a case, and how well?
//!
//! Each explainer is one file: it looks at the case and the scene and proposes [`Hypothesis`]es,
//! one for each pod that could be meant. Weights say how well the uncertain instants fit; they are
//! compared by `decide`. What an explainer says for its proposal it says as evidence, with figures.

mod app_reply;
mod client_side;
mod container_crashed;
mod endpoint_propagation;
mod harness;
mod in_flight;
pub(super) mod intermediary;
mod load_balancer;
mod mesh;
mod new_pod;
mod no_ready_endpoint;
mod node_lost;
mod reach;
mod sidecar_exited;
mod silence;
mod stale_connection;

use super::case::Case;
use super::scene::{Pod, Scene};
use super::{Cause, Evidence, Hop, Modifier, Stance};
use crate::evidence::{ConnectionKind, Interval};

/// A proposal: a cause, the pod it means, and how well it fits.
#[derive(Clone, Debug)]
pub(super) struct Hypothesis {
    pub(super) cause: Cause,
    pub(super) pod: Option<usize>,
    pub(super) hop: Hop,
    /// How well the instants fit and how usual the cause is in this shape; comparable only within
    /// one case.
    pub(super) weight: f64,
    /// The instants fit entirely, whatever the clocks' offsets are within their bounds.
    pub(super) tight: bool,
    /// Nothing refutes it, however little it weighs: no other cause is proved beside it.
    pub(super) open: bool,
    pub(super) modifiers: Vec<Modifier>,
    /// What speaks for it; a later one adds to an earlier.
    pub(super) because: Because,
}

/// The decisive observation behind a proposal; put into words only for the ones that are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Because {
    /// The pod's app stopped accepting before the attempt.
    AppStopped,
    /// The pod's proxy had ended before the attempt.
    ProxyGone,
    /// The pod was gone before the attempt ended.
    PodGone,
    /// The app ended while the request was under way.
    AppEnded,
    /// The proxy ended while the request was under way.
    ProxyEnded,
    /// The connection was ended while it was idle.
    IdleClosed,
    /// The peer closes idle connections by itself.
    IdleTimeout,
    /// The container ended without a deletion.
    Crashed,
    /// The pod was in the routes before it listened.
    NotListening,
    /// Nobody was ready.
    NobodyReady,
    /// The app answered so, the pod being deleted.
    Refusal,
    /// The app answered so, nothing being deleted.
    OwnError,
    /// As in the baseline.
    AsBaseline,
    /// The client gave up.
    GaveUp,
    /// A limit or fault of the harness.
    HarnessFault,
    /// The harness sent so late that most of the patience was gone.
    SentTooLate,
    /// The node was lost.
    NodeLost,
    /// A proxy said so.
    ProxySays,
    /// An earlier attempt hung on a pod that was gone.
    HungAttempt,
    /// Something on the way ended.
    Intermediary,
    /// A load balancer that the cluster does not know still had the pod.
    Deregistration,
}

impl Hypothesis {
    fn new(cause: Cause, pod: Option<usize>, hop: Hop, weight: f64, because: Because) -> Self {
        Self {
            cause,
            pod,
            hop,
            weight,
            tight: false,
            open: false,
            modifiers: Vec::new(),
            because,
        }
    }

    fn tight(mut self, tight: bool) -> Self {
        self.tight = tight;
        self
    }

    fn open(mut self, open: bool) -> Self {
        self.open = open;
        self
    }
}

/// Everything that could explain the case.
pub(super) fn all(scene: &Scene<'_>, case: &Case<'_>) -> Vec<Hypothesis> {
    let mut found = Vec::new();
    harness::explain(scene, case, &mut found);
    client_side::explain(scene, case, &mut found);
    app_reply::explain(scene, case, &mut found);
    no_ready_endpoint::explain(scene, case, &mut found);
    mesh::explain(scene, case, &mut found);
    load_balancer::explain(scene, case, &mut found);
    intermediary::explain(scene, case, &mut found);
    for (index, pod) in candidates(scene, case) {
        endpoint_propagation::explain(scene, case, index, pod, &mut found);
        sidecar_exited::explain(scene, case, index, pod, &mut found);
        in_flight::explain(scene, case, index, pod, &mut found);
        stale_connection::explain(scene, case, index, pod, &mut found);
        container_crashed::explain(scene, case, index, pod, &mut found);
        new_pod::explain(scene, case, index, pod, &mut found);
        node_lost::explain(scene, case, index, pod, &mut found);
    }
    stale_connection::explain_unknown(scene, case, &mut found);
    silence::weigh(scene, case, &mut found);
    reach::weigh(scene, case, &mut found);
    found.retain(|hypothesis| hypothesis.weight > 1e-6);
    found
}

/// The pods that the request can have been sent to: the known one, else those that existed.
fn candidates<'s>(
    scene: &'s Scene<'_>,
    case: &'s Case<'_>,
) -> impl Iterator<Item = (usize, &'s Pod)> {
    let known = case.pod.as_ref().map(|known| known.pod);
    let end = case.end;
    scene
        .pods
        .iter()
        .enumerate()
        .filter(move |(index, pod)| match (known, &case.among) {
            (Some(known), _) => known == *index,
            (None, Some(among)) => among.contains(index),
            (None, None) => pod.life.initial || pod.life.first_seen <= end,
        })
}

/// What a pod still weighs whose withdrawal the client's routes had followed.
const FOLLOWED: f64 = 0.05;

/// How much a withdrawn endpoint still weighs, this long after its withdrawal was seen: routes of a
/// busy cluster follow within seconds (facts 9.13), then ever less likely. A kept connection asks no
/// route; answers may show that a client's routes had left the pod.
fn still_routed(scene: &Scene<'_>, case: &Case<'_>, index: usize, pod: &Pod) -> f64 {
    let at = case.sent();
    if !case.meshed && case.request.connection.kind == ConnectionKind::Reused {
        return 1.0;
    }
    let unmet = if scene.reach.tells(case.client) {
        scene.routes.unmet(index, case.client, at)
    } else {
        1.0
    };
    let Some(withdrawn) = pod.withdrawn.or(pod.gone) else {
        return unmet;
    };
    // What balances outside the cluster may be several that follow each by itself.
    if !scene.outer && scene.routes.followed(case.client, withdrawn, at) {
        return FOLLOWED;
    }
    let late = (at.0 - withdrawn.0) as f64 / 1e9;
    let usual: f64 = if late <= 2.0 {
        1.0
    } else if late <= 15.0 {
        0.8
    } else if late <= 60.0 {
        0.2
    } else {
        0.01
    };
    usual.min(unmet)
}

/// A piece of evidence for the named cause.
pub(super) fn says(at: Option<Interval>, text: String, events: Vec<u64>) -> Evidence {
    Evidence {
        stance: Stance::For,
        at,
        text,
        events,
        line: None,
    }
}

/// A circumstance.
pub(super) fn context(at: Option<Interval>, text: String, events: Vec<u64>) -> Evidence {
    Evidence {
        stance: Stance::Context,
        ..says(at, text, events)
    }
}
