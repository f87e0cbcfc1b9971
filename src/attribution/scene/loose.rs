//! Which access lines may belong to a failed request whose id they do not carry?
//!
//! A gateway may replace an id, a log format may leave it out. Then a line is joined by what both
//! sides know: path and method, the answer, the instants, and the peer's address where nothing on
//! the way rewrites it. Several lines may fit; all are kept, and the join proves nothing then.

mod index;

use super::proxy_log::{Access, ProxyLogs};
use crate::evidence::{
    ClientInfo, ClockOffsets, Constraint, ErrorClass, FailedRequest, Outcome, Timeline,
};
use index::Index;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// More lines than this that fit one request tell no pod.
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
    outbound: Side,
    inbound: Side,
    /// Another request fits one of them as well.
    shared: bool,
}

/// Those of one side.
#[derive(Debug, Default)]
struct Side {
    lines: Vec<usize>,
    /// More fit than are kept.
    cut: bool,
}

/// A failed request that no line of one side names.
pub(super) struct Wanting<'t> {
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
    /// More lines fit than these.
    pub(in crate::attribution) cut: bool,
}

/// Clock bounds from lines that fit by their addresses alone, and nobody else's.
pub(super) fn constraints(
    timeline: &Timeline,
    proxies: &ProxyLogs,
    wanting: &[Wanting<'_>],
    nodes: &HashMap<String, String>,
    found: &mut Vec<Constraint>,
) {
    let mut by_peer: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, line) in proxies.orphans.iter().enumerate() {
        if let Some(peer) = line.downstream_remote.as_deref() {
            by_peer.entry(peer).or_default().push(index);
        }
    }
    let mut owners: HashMap<usize, Vec<&FailedRequest>> = HashMap::new();
    for wanting in wanting.iter().filter(|wanting| wanting.outbound) {
        let peer = wanting.request.local.as_deref();
        let lines = peer
            .and_then(|peer| by_peer.get(peer))
            .into_iter()
            .flatten();
        let fits: Vec<usize> = lines
            .copied()
            .filter(|index| wanting.by_sidecar(&proxies.orphans[*index]))
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

impl Loose {
    /// Finds the lines that fit, on the harness's clock.
    pub(super) fn of(
        proxies: &ProxyLogs,
        wanting: &[Wanting<'_>],
        nodes: &HashMap<String, String>,
        offsets: &ClockOffsets,
    ) -> Self {
        let index = Index::of(&proxies.orphans, nodes, offsets);
        let mut loose = Self::default();
        let mut users: HashMap<usize, u32> = HashMap::new();
        for wanting in wanting {
            let fits = index.fits(wanting);
            for line in fits.lines() {
                *users.entry(line).or_default() += 1;
            }
            if fits.lines().next().is_some() {
                loose.fits.insert(wanting.event, fits);
            }
        }
        for fits in loose.fits.values_mut() {
            let shared = fits.lines().any(|line| users[&line] > 1);
            fits.shared = shared;
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
            .flat_map(|side| &side.lines)
            .map(|index| &proxies.orphans[*index])
            .collect();
        Joined {
            doubtful: lines.len() > 1 || fits.is_some_and(|fits| fits.shared),
            lines,
            cut: side.is_some_and(|side| side.cut),
        }
    }
}

impl Side {
    fn of(mut lines: Vec<usize>) -> Self {
        let cut = lines.len() > MOST;
        lines.truncate(MOST);
        Self { lines, cut }
    }
}

impl Fits {
    fn lines(&self) -> impl Iterator<Item = usize> {
        let sides = [&self.outbound, &self.inbound].into_iter();
        sides.flat_map(|side| side.lines.iter().copied())
    }
}

/// The failed requests that lack a line of a side on which no line of their client has its id.
pub(super) fn wanting<'t>(
    timeline: &'t Timeline,
    proxies: &ProxyLogs,
    clients: &'t BTreeMap<String, ClientInfo>,
) -> Vec<Wanting<'t>> {
    if proxies.orphans.is_empty() {
        return Vec::new();
    }
    let mut intact: BTreeSet<(&str, bool)> = BTreeSet::new();
    let named: Vec<_> = timeline
        .failed_requests()
        .map(|(event, request)| {
            let (mut outbound, mut inbound) = (false, false);
            for line in proxies.of_request(&request.request_id) {
                intact.insert((request.client.as_str(), line.inbound));
                outbound |= !line.inbound;
                inbound |= line.inbound;
            }
            (event, request, outbound, inbound)
        })
        .collect();
    let unnamed = proxies.orphans.iter().any(|line| !line.named);
    named
        .into_iter()
        .filter_map(|(event, request, outbound, inbound)| {
            let lacks = |named: bool, inbound: bool| {
                let known = intact.contains(&(request.client.as_str(), inbound));
                (!known || unnamed) && !named
            };
            let client = clients.get(&request.client);
            let own = client.and_then(|client| client.pod.as_deref());
            let wanting = Wanting {
                event,
                request,
                own,
                outbound: own.is_some() && lacks(outbound, false),
                inbound: lacks(inbound, true),
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

    /// The client's own sidecar may have logged it.
    fn by_sidecar(&self, line: &Access) -> bool {
        !line.inbound && self.own == Some(line.pod.as_str()) && self.alike(line)
    }
}
