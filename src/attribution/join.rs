//! Which lines of the proxies belong to a failed request, and what do they add to its shape?
//!
//! The server's line names the pod and tells who was to blame behind its proxy; the client's line
//! tells whom its proxy chose and whether that hop answered (facts 9.11). Where a line is missing,
//! the client's own record stands: a proxy that is killed takes its last second of lines with it. One
//! that lived on would have written it, and so its pod weighs less (`explain::silence`).

use super::Hop;
use super::case::{Case, Known, Link, LinkKind, Shape};
use super::scene::{Access, Scene};

/// A request that its proxies finished within this time was cut as it went out.
const FAST_MS: u64 = 25;

/// Adds what the proxies' lines say.
pub(super) fn apply(scene: &Scene<'_>, case: &mut Case<'_>) {
    let lines = scene.proxies.of_request(&case.request.request_id);
    let own_pod = scene
        .clients
        .get(&case.request.client)
        .and_then(|client| client.pod.as_deref());
    let server = lines.iter().rev().find(|line| line.inbound).copied();
    let by_id = lines
        .iter()
        .rev()
        .find(|line| !line.inbound && Some(line.pod.as_str()) == own_pod)
        .copied();
    // What the answer or a line with the id proves, no guess may deny.
    let answered = case.pod.as_ref().map(|known| known.pod);
    let mut loosely = Loosely::default();
    let client = by_id.or_else(|| {
        let logged = server.and_then(|line| scene.pod_named(&line.pod, case.end));
        loosely.find(scene, case, false, answered.or(logged))
    });
    if let Some(line) = client {
        from_client(scene, case, line);
    }
    let server = server.or_else(|| {
        let chosen = by_id.and(case.pod.as_ref()).map(|known| known.pod);
        loosely.find(scene, case, true, answered.or(chosen))
    });
    if let Some(line) = server {
        from_server(scene, case, line);
    }
    // A connection that no filter chain wanted has no request to log, only its peer.
    let socket = client.and_then(|line| line.upstream_local.as_ref());
    let socket = socket.or(case.request.local.as_ref());
    if server.is_none() && socket.is_some_and(|peer| scene.proxies.unwanted.contains(peer)) {
        case.shape = Shape::Config;
    }
    let mut told = lines.iter().copied().chain(client).chain(server);
    if told.any(|line| line.has("URX")) {
        case.retried = true;
    }
    loosely.keep(case);
}

/// Lines that were joined without the id.
#[derive(Default)]
struct Loosely {
    doubtful: bool,
    /// So many lines fit that they tell no pod.
    nobody: bool,
    /// Where more than one line fits: the pods that these lines mean.
    among: Option<Vec<usize>>,
}

impl Loosely {
    /// The line of one side that fits best, and means no other pod than the one that is proved.
    fn find<'s>(
        &mut self,
        scene: &'s Scene<'_>,
        case: &Case<'_>,
        inbound: bool,
        proved: Option<usize>,
    ) -> Option<&'s Access> {
        let meant = |line: &Access| {
            if inbound {
                scene.pod_named(&line.pod, case.end)
            } else {
                scene.pod_at(line.upstream_host.as_deref()?, case.end)
            }
        };
        let mut joined = scene.loose.lines(&scene.proxies, case.event, inbound);
        let agrees = |pod: usize| proved.is_none_or(|proved| proved == pod);
        joined.lines.retain(|line| meant(line).is_none_or(agrees));
        let best = *joined.lines.first()?;
        self.doubtful |= joined.doubtful;
        self.nobody |= joined.cut && proved.is_none();
        let mut pods: Vec<usize> = joined.lines.iter().filter_map(|line| meant(line)).collect();
        pods.sort_unstable();
        pods.dedup();
        if pods.len() > 1 {
            self.among = Some(pods);
        }
        Some(best)
    }

    /// Keeps the ambiguity: no pod is named that another line denies.
    fn keep(self, case: &mut Case<'_>) {
        case.doubtful = self.doubtful;
        if self.nobody {
            case.pod = None;
        } else if self.among.is_some() {
            case.pod = None;
            case.among = self.among;
        }
    }
}

fn quote(scene: &Scene<'_>, line: &Access) -> Option<String> {
    scene.line(&line.pod, &line.container, line.line)
}

/// The line of the sidecar on the client's side: whom it chose, and how that hop went.
fn from_client(scene: &Scene<'_>, case: &mut Case<'_>, line: &Access) {
    let at = case.end;
    case.client_line = quote(scene, line);
    let chosen = line
        .upstream_host
        .as_deref()
        .and_then(|host| scene.pod_at(host, at));
    let known = chosen.map(|pod| Known {
        pod,
        by: "the client's proxy sent it to the pod",
        line: case.client_line.clone(),
    });
    let connected = line.upstream_local.is_some();
    if line.has("DC") || line.code == Some(0) {
        // The client gave up. An attempt that never connected hung on an address that was gone;
        // one that did connect, late, is innocent: an earlier one ate the time.
        case.shape = Shape::NoAnswer;
        case.connected = chosen.is_some().then_some(connected);
        if !connected {
            case.pod = known;
        }
        return;
    }
    if line.answered {
        // The next hop answered: the reply is read as the client saw it.
        if case.lacks {
            case.shape = Shape::AppReply(line.code.unwrap_or_default());
            case.lacks = false;
        }
        case.pod = known;
        return;
    }
    case.lacks = false;
    if let Some(shape) = local_reply(line, Hop::Pod) {
        case.shape = shape;
        case.pod = match shape {
            Shape::Link(_) => known,
            Shape::ProxyTimeout => {
                case.connected = chosen.is_some().then_some(connected);
                known.filter(|known| !connected || scene.pods[known.pod].over_by(at))
            }
            _ => None,
        };
    }
}

/// The line of the sidecar beside the app.
fn from_server(scene: &Scene<'_>, case: &mut Case<'_>, line: &Access) {
    let Some(pod) = scene.pod_named(&line.pod, case.end) else {
        return;
    };
    let elsewhere = case.pod.as_ref().is_some_and(|known| known.pod != pod);
    if elsewhere {
        // The last attempt went to another pod.
        return;
    }
    case.server_line = quote(scene, line);
    let gave_up = line.has("DC") || line.code == Some(0);
    if line.code.is_some_and(|code| code < 500) && !gave_up {
        // Answered well: what failed is nearer to the client.
        return;
    }
    let patience = matches!(case.shape, Shape::NoAnswer | Shape::ProxyTimeout);
    if gave_up && patience && !scene.pods[pod].over_by(case.end) {
        // The patience ended while this one lived: an earlier attempt may have eaten it.
        return;
    }
    case.pod = Some(Known {
        pod,
        by: "the server's proxy logged the request",
        line: case.server_line.clone(),
    });
    if gave_up {
        return;
    }
    if let Some(shape) = local_reply(line, Hop::ServerSidecar) {
        case.shape = shape;
        if shape == Shape::ProxyTimeout {
            // Its own hop was there, whatever the client's proxy had.
            case.connected = Some(true);
        }
    } else if line.answered {
        case.shape = Shape::AppReply(line.code.unwrap_or_default());
    }
}

/// What a proxy's own reply means for the hop behind it.
fn local_reply(line: &Access, hop: Hop) -> Option<Shape> {
    let link = |kind| {
        let fast = line.duration_ms.is_some_and(|duration| duration <= FAST_MS);
        Shape::Link(Link {
            hop,
            kind,
            fast,
            reused: None,
            last_good: None,
        })
    };
    let text = line.details.as_str();
    let transport = [
        "TLS error",
        "CERTIFICATE",
        "Secret is not supplied",
        "filter chain not found",
    ];
    if transport.iter().any(|sign| text.contains(sign)) {
        return Some(Shape::Config);
    }
    let config = [
        "NR", "NC", "FI", "UAEX", "RL", "RLSE", "DPE", "UPE", "NFCF", "IH", "DI", "DF",
    ];
    if line.has("UH") {
        Some(Shape::NobodyChosen)
    } else if line.has("UO") || line.has("OM") || line.has("DO") {
        Some(Shape::Overload)
    } else if config.iter().any(|flag| line.has(flag)) || text.contains("rbac access denied") {
        Some(Shape::Config)
    } else if line.has("UF") {
        let vanished = [
            "timeout",
            "timed out",
            "No route to host",
            ": 110",
            ": 113",
            "error:110",
            "error:113",
        ];
        let kind = if vanished.iter().any(|sign| text.contains(sign)) {
            LinkKind::Vanished
        } else {
            LinkKind::Refused
        };
        Some(link(kind))
    } else if line.has("UC") || line.has("UR") || line.has("LR") {
        Some(link(LinkKind::Cut))
    } else if line.has("UT") || line.has("SI") || line.has("UMSDR") {
        Some(Shape::ProxyTimeout)
    } else {
        None
    }
}
