//! Which lines without an owner fit a request by their instants?

use super::super::proxy_log::Access;
use super::{Fits, Side, Wanting};
use crate::evidence::{Clock, ClockOffsets, FailedRequest, Interval, RunOffset};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A proxy begins with a request, and ends it, within this time of its client.
const SLACK: i64 = 60_000_000;

/// Lines on the harness's clock.
pub(super) struct Index<'l> {
    lines: &'l [Access],
    placed: Vec<Option<Interval>>,
    by_pod: BTreeMap<&'l str, PodLines>,
}

/// Lines of one pod: they share one clock, so one node whose clock is known badly slows nobody else.
#[derive(Default)]
struct PodLines {
    /// Indices by the earliest instant of their start.
    order: Vec<usize>,
    widest: i64,
}

impl<'l> Index<'l> {
    pub(super) fn of(
        lines: &'l [Access],
        nodes: &HashMap<String, String>,
        offsets: &ClockOffsets,
    ) -> Self {
        let place = |line: &Access| {
            let clock = Clock::Node(nodes.get(&line.pod)?.clone());
            offsets.place(&clock, line.start?, line.floor)
        };
        let placed: Vec<Option<Interval>> = lines.iter().map(place).collect();
        let mut by_pod: BTreeMap<&str, PodLines> = BTreeMap::new();
        for (index, line) in lines.iter().enumerate() {
            if let Some(at) = placed[index] {
                let own = by_pod.entry(&line.pod).or_default();
                own.order.push(index);
                own.widest = own.widest.max(at.width());
            }
        }
        for own in by_pod.values_mut() {
            own.order
                .sort_by_key(|index| placed[*index].map(|at| at.lo));
        }
        Self {
            lines,
            placed,
            by_pod,
        }
    }

    pub(super) fn fits(&self, wanting: &Wanting<'_>) -> Fits {
        let (mut outbound, mut inbound) = (Vec::new(), Vec::new());
        if wanting.outbound {
            let own = wanting.own.and_then(|own| self.by_pod.get(own));
            outbound = self.side(wanting, own.into_iter(), |line| {
                !line.inbound && {
                    let local = wanting.request.local.as_deref();
                    local.is_none() || line.downstream_remote.as_deref() == local
                }
            });
        }
        if wanting.inbound {
            // Behind a sidecar of its own the client's peer is that sidecar's socket.
            let sockets: HashSet<&str> = outbound
                .iter()
                .filter_map(|index| self.lines[*index].upstream_local.as_deref())
                .collect();
            inbound = self.side(wanting, self.by_pod.values(), |line| {
                let remote = line.downstream_remote.as_deref();
                line.inbound
                    && (sockets.is_empty() || remote.is_none_or(|remote| sockets.contains(remote)))
            });
            // An address that nothing rewrote singles its line out.
            let local = wanting.request.local.as_deref();
            let same = |index: &usize| {
                local.is_some() && self.lines[*index].downstream_remote.as_deref() == local
            };
            if inbound.iter().any(same) {
                inbound.retain(same);
            }
        }
        Fits {
            outbound: Side::of(outbound),
            inbound: Side::of(inbound),
            shared: false,
        }
    }

    /// Lines of one side whose instants fit, those first whose duration fits best.
    fn side<'p>(
        &self,
        wanting: &Wanting<'_>,
        pods: impl Iterator<Item = &'p PodLines>,
        of_side: impl Fn(&Access) -> bool,
    ) -> Vec<usize> {
        let mut found: Vec<(i64, usize)> = pods
            .flat_map(|own| self.near(wanting.request, own))
            .filter(|index| of_side(&self.lines[*index]) && wanting.alike(&self.lines[*index]))
            .filter_map(|index| Some((self.misfit(wanting.request, index)?, index)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, index)| index).collect()
    }

    /// Lines of one pod that can have begun while the request was under way.
    fn near<'p>(
        &self,
        request: &FailedRequest,
        own: &'p PodLines,
    ) -> impl Iterator<Item = usize> + use<'p, '_, 'l> {
        let window = window(request);
        let early = |index: &usize| self.start(*index).lo.0 < window.lo.0 - own.widest;
        let first = own.order.partition_point(early);
        let later = own.order[first..].iter().copied();
        later.take_while(move |index| self.start(*index).lo <= window.hi)
    }

    /// By how much the duration of a line differs from that of the request, if its instants fit.
    fn misfit(&self, request: &FailedRequest, index: usize) -> Option<i64> {
        let (window, start) = (window(request), self.start(index));
        let elapsed = request.end.0 - request.sent.unwrap_or(request.intended).0;
        let took = self.lines[index].duration_ms.unwrap_or(0) as i64 * 1_000_000;
        // It ends as the client's request ends, wherever its start lies in between.
        let ends = Interval {
            lo: RunOffset(request.end.0 - SLACK),
            hi: window.hi,
        };
        let fits = start.intersect(window).is_some()
            && start.shift(took).intersect(ends).is_some()
            && took <= elapsed + SLACK;
        fits.then(|| (elapsed - took).abs())
    }

    fn start(&self, index: usize) -> Interval {
        self.placed[index].expect("only placed lines are ordered")
    }
}

/// From the sending to the failure, and what a proxy's clock may add.
fn window(request: &FailedRequest) -> Interval {
    Interval {
        lo: RunOffset(request.sent.unwrap_or(request.intended).0 - SLACK),
        hi: RunOffset(request.end.0 + SLACK),
    }
}
