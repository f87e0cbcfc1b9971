//! Which access lines may belong to a failed request whose id they do not carry?
//!
//! A gateway may replace an id, a log format may leave it out. Then a line is joined by what both
//! sides know: path and method, the answer, the instants, and the peer's address where nothing on
//! the way rewrites it. Several lines may fit; all are kept, and the join proves nothing then.

use super::proxy_log::{Access, ProxyLogs};
use crate::evidence::{
    ClientInfo, Clock, ClockOffsets, Constraint, ErrorClass, EventKind, FailedRequest, Interval,
    Outcome, RunOffset, Timeline,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A proxy begins with a request, and ends it, within this time of its client.
const SLACK: i64 = 60_000_000;

/// More lines than this that fit one request are no more telling.
const MOST: usize = 64;

/// Lines that fit requests by other things than the id.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Loose {
    /// By the event of the failure: the lines that fit, the best first.
    fits: HashMap<u64, Fits>,
}

/// Indices of lines without an owner.
#[derive(Debug, Default)]
struct Fits {
    outbound: Vec<usize>,
    inbound: Vec<usize>,
    /// Another request fits one of them as well.
    shared: bool,
}

/// A failed request that no line of one side names.
struct Wanting<'t> {
    event: u64,
    request: &'t FailedRequest,
    /// The pod whose sidecar the client sits behind.
    own: Option<&'t str>,
    outbound: bool,
    inbound: bool,
}

/// Where lines of one request lead.
pub(in crate::attribution) struct Joined<'l> {
    pub(in crate::attribution) lines: Vec<&'l Access>,
    /// More than one line, or more than one request, fits.
    pub(in crate::attribution) doubtful: bool,
}

impl Loose {
    /// Clock bounds from lines that fit by their addresses alone, and nobody else's.
    pub(super) fn constraints(
        timeline: &Timeline,
        proxies: &ProxyLogs,
        clients: &BTreeMap<String, ClientInfo>,
        nodes: &HashMap<String, String>,
        found: &mut Vec<Constraint>,
    ) {
        let mut owners: HashMap<usize, Vec<&FailedRequest>> = HashMap::new();
        for wanting in wanting(timeline, proxies, clients) {
            let fits: Vec<usize> = proxies
                .orphans
                .iter()
                .enumerate()
                .filter(|(_, line)| wanting.outbound && wanting.by_address(line))
                .map(|(index, _)| index)
                .collect();
            if let [only] = fits[..] {
                owners.entry(only).or_default().push(wanting.request);
            }
        }
        for (index, requests) in owners {
            if let [request] = requests[..] {
                let line = &proxies.orphans[index];
                super::proxy_log::started_within(timeline, request, line, nodes, found);
            }
        }
    }

    /// Finds the lines that fit, on the harness's clock.
    pub(super) fn of(
        timeline: &Timeline,
        proxies: &ProxyLogs,
        clients: &BTreeMap<String, ClientInfo>,
        nodes: &HashMap<String, String>,
        offsets: &ClockOffsets,
    ) -> Self {
        let placed: Vec<Option<Interval>> = proxies
            .orphans
            .iter()
            .map(|line| {
                let clock = Clock::Node(nodes.get(&line.pod)?.clone());
                offsets.place(&clock, line.start?, 1_000_000)
            })
            .collect();
        let mut order: Vec<usize> = (0..placed.len())
            .filter(|at| placed[*at].is_some())
            .collect();
        order.sort_by_key(|index| placed[*index].map(|at| at.lo));
        let widest = placed.iter().flatten().map(|at| at.width()).max();
        let index = Index {
            lines: &proxies.orphans,
            placed,
            order,
            widest: widest.unwrap_or(0),
        };
        let mut loose = Self::default();
        let mut users: HashMap<usize, u32> = HashMap::new();
        for wanting in wanting(timeline, proxies, clients) {
            let fits = index.fits(&wanting);
            for line in fits.outbound.iter().chain(&fits.inbound) {
                *users.entry(*line).or_default() += 1;
            }
            if !(fits.outbound.is_empty() && fits.inbound.is_empty()) {
                loose.fits.insert(wanting.event, fits);
            }
        }
        for fits in loose.fits.values_mut() {
            let mut lines = fits.outbound.iter().chain(&fits.inbound);
            fits.shared = lines.any(|line| users[line] > 1);
        }
        loose
    }

    /// The lines of one side that fit a failed request.
    pub(in crate::attribution) fn lines<'l>(
        &self,
        proxies: &'l ProxyLogs,
        event: u64,
        inbound: bool,
    ) -> Joined<'l> {
        let fits = self.fits.get(&event);
        let side = fits.map(|fits| {
            if inbound {
                &fits.inbound
            } else {
                &fits.outbound
            }
        });
        let lines: Vec<&Access> = side
            .into_iter()
            .flatten()
            .map(|index| &proxies.orphans[*index])
            .collect();
        Joined {
            doubtful: lines.len() > 1 || fits.is_some_and(|fits| fits.shared),
            lines,
        }
    }
}

/// The failed requests that lack a line of a side on which no line of their client has its id.
fn wanting<'t>(
    timeline: &'t Timeline,
    proxies: &ProxyLogs,
    clients: &'t BTreeMap<String, ClientInfo>,
) -> Vec<Wanting<'t>> {
    if proxies.orphans.is_empty() {
        return Vec::new();
    }
    let failures = || {
        timeline
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::RequestFailed(request) => Some((event.seq, request.as_ref())),
                _ => None,
            })
    };
    let mut intact: BTreeSet<(&str, bool)> = BTreeSet::new();
    for (_, request) in failures() {
        for line in proxies.of_request(&request.request_id) {
            intact.insert((request.client.as_str(), line.inbound));
        }
    }
    let unnamed = proxies.orphans.iter().any(|line| !line.named);
    failures()
        .filter_map(|(event, request)| {
            let lines = proxies.of_request(&request.request_id);
            let lacks = |inbound: bool| {
                let known = intact.contains(&(request.client.as_str(), inbound));
                (!known || unnamed) && !lines.iter().any(|line| line.inbound == inbound)
            };
            let client = clients.get(&request.client);
            let own = client.and_then(|client| client.pod.as_deref());
            let wanting = Wanting {
                event,
                request,
                own,
                outbound: own.is_some() && lacks(false),
                inbound: lacks(true),
            };
            (wanting.outbound || wanting.inbound).then_some(wanting)
        })
        .collect()
}

impl Wanting<'_> {
    /// What the line says of the request, its peer and its answer is the same.
    fn alike(&self, line: &Access) -> bool {
        let path = line
            .path
            .as_deref()
            .is_none_or(|path| path == self.request.path);
        let method = line.method.as_deref();
        let method =
            method.is_none_or(|own| self.request.method == "-" || own == self.request.method);
        path && method && self.answer(line)
    }

    fn answer(&self, line: &Access) -> bool {
        let gave_up = line.has("DC") || line.code == Some(0);
        match &self.request.outcome {
            Outcome::Status { code, .. } | Outcome::UnexpectedBody { code } => {
                line.code == Some(*code) && !gave_up
            }
            Outcome::Transport { class, .. } => match class {
                ErrorClass::Timeout | ErrorClass::Reset | ErrorClass::Closed => gave_up,
                _ => false,
            },
        }
    }

    /// The client's own sidecar logged the client's own socket.
    fn by_address(&self, line: &Access) -> bool {
        let own = !line.inbound && self.own == Some(line.pod.as_str());
        let address = self.request.local.as_deref();
        own && self.alike(line) && address.is_some() && line.downstream_remote.as_deref() == address
    }
}

struct Index<'l> {
    lines: &'l [Access],
    placed: Vec<Option<Interval>>,
    /// Indices by the earliest instant of their start.
    order: Vec<usize>,
    widest: i64,
}

impl Index<'_> {
    fn fits(&self, wanting: &Wanting<'_>) -> Fits {
        let mut fits = Fits::default();
        if wanting.outbound {
            fits.outbound = self.side(wanting, |line| {
                !line.inbound && wanting.own == Some(line.pod.as_str()) && {
                    let local = wanting.request.local.as_deref();
                    local.is_none() || line.downstream_remote.as_deref() == local
                }
            });
        }
        if wanting.inbound {
            // Behind a sidecar of its own the client's peer is that sidecar's socket.
            let sockets: Vec<&str> = fits
                .outbound
                .iter()
                .filter_map(|index| self.lines[*index].upstream_local.as_deref())
                .collect();
            fits.inbound = self.side(wanting, |line| {
                let remote = line.downstream_remote.as_deref();
                line.inbound
                    && (sockets.is_empty() || remote.is_none_or(|remote| sockets.contains(&remote)))
            });
            // An address that nothing rewrote singles its line out.
            let local = wanting.request.local.as_deref();
            let same = |index: &usize| {
                local.is_some() && self.lines[*index].downstream_remote.as_deref() == local
            };
            if fits.inbound.iter().any(same) {
                fits.inbound.retain(same);
            }
        }
        fits
    }

    /// Lines of one side whose instants fit, those first whose duration fits best.
    fn side(&self, wanting: &Wanting<'_>, of_side: impl Fn(&Access) -> bool) -> Vec<usize> {
        let request = wanting.request;
        let sent = request.sent.unwrap_or(request.intended);
        let window = Interval {
            lo: RunOffset(sent.0 - SLACK),
            hi: RunOffset(request.end.0 + SLACK),
        };
        let first = self
            .order
            .partition_point(|index| self.start(*index).lo.0 < window.lo.0 - self.widest);
        let elapsed = request.end.0 - sent.0;
        let mut found: Vec<(i64, usize)> = self.order[first..]
            .iter()
            .take_while(|index| self.start(**index).lo <= window.hi)
            .filter(|index| of_side(&self.lines[**index]) && wanting.alike(&self.lines[**index]))
            .filter_map(|index| {
                let start = self.start(*index);
                let took = self.lines[*index].duration_ms.unwrap_or(0) as i64 * 1_000_000;
                // It ends as the client's request ends, wherever its start lies in between.
                let end = start.shift(took);
                let ends = Interval {
                    lo: RunOffset(request.end.0 - SLACK),
                    hi: window.hi,
                };
                let fits = start.intersect(window).is_some()
                    && end.intersect(ends).is_some()
                    && took <= elapsed + SLACK;
                fits.then(|| ((elapsed - took).abs(), *index))
            })
            .take(MOST)
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, index)| index).collect()
    }

    fn start(&self, index: usize) -> Interval {
        self.placed[index].expect("only placed lines are ordered")
    }
}
