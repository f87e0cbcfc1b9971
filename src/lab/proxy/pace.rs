//! When does a change of the endpoints take effect on a node?

use super::endpoints::{Routes, ServicePort};
use crate::scenario::Delay;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;
use tokio::time::Instant;

/// kube-proxy's `minSyncPeriod`, and how many syncs may follow each other without waiting for it.
const MIN_SYNC: Duration = Duration::from_secs(1);
const BURST: f64 = 2.0;

/// How changes are paced.
#[derive(Debug)]
pub(super) enum Pace {
    /// As kube-proxy does it: all changes at once, at most two syncs in a row, then one a second.
    KubeProxy {
        tokens: f64,
        counted: Instant,
        wanted: Option<Routes>,
    },
    /// Each change of a Service after a delay of its own, in order.
    Delayed {
        delay: Delay,
        queues: BTreeMap<ServicePort, VecDeque<Change>>,
        seen: Routes,
    },
}

/// When a Service's endpoints become these; `None`: the Service is gone.
type Change = (Instant, Option<Vec<SocketAddrV4>>);

impl Pace {
    pub(super) fn new(delay: Option<Delay>, now: Instant) -> Self {
        match delay {
            None => Self::KubeProxy {
                tokens: BURST,
                counted: now,
                wanted: None,
            },
            Some(delay) => Self::Delayed {
                delay,
                queues: BTreeMap::new(),
                seen: Routes::new(),
            },
        }
    }

    /// The API asks for these routes since `now`.
    pub(super) fn ask(&mut self, routes: Routes, now: Instant) {
        match self {
            Self::KubeProxy { wanted, .. } => *wanted = Some(routes),
            Self::Delayed {
                delay,
                queues,
                seen,
            } => {
                let gone = seen.keys().filter(|port| !routes.contains_key(*port));
                let gone: Vec<_> = gone.map(|port| (port.clone(), None)).collect();
                let changed = routes
                    .iter()
                    .filter(|(port, endpoints)| seen.get(*port) != Some(*endpoints))
                    .map(|(port, endpoints)| (port.clone(), Some(endpoints.clone())));
                for (port, endpoints) in changed.chain(gone) {
                    // A Service that is new to the node is the start of a lab, not a rollout.
                    let waits = if seen.contains_key(&port) {
                        sample(*delay)
                    } else {
                        Duration::ZERO
                    };
                    let queue = queues.entry(port).or_default();
                    let last = queue.back().map_or(now, |(due, _)| *due);
                    queue.push_back((last.max(now + waits), endpoints));
                }
                *seen = routes;
            }
        }
    }

    /// When there is something to apply; `None`: nothing is waiting.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::KubeProxy { wanted: None, .. } => None,
            Self::KubeProxy {
                tokens, counted, ..
            } => {
                let missing = (1.0 - tokens).max(0.0);
                Some((*counted + MIN_SYNC.mul_f64(missing)).max(now))
            }
            Self::Delayed { queues, .. } => queues
                .values()
                .filter_map(|queue| queue.front())
                .map(|(due, _)| *due)
                .min(),
        }
    }

    /// Applies to `routes` what is due at `now`.
    pub(super) fn apply(&mut self, routes: &mut Routes, now: Instant) {
        match self {
            Self::KubeProxy {
                tokens,
                counted,
                wanted,
            } => {
                let earned = (now - *counted).as_secs_f64() / MIN_SYNC.as_secs_f64();
                *tokens = (*tokens + earned).min(BURST) - 1.0;
                *counted = now;
                if let Some(wanted) = wanted.take() {
                    *routes = wanted;
                }
            }
            Self::Delayed { queues, .. } => {
                for (port, queue) in queues.iter_mut() {
                    while let Some((due, _)) = queue.front()
                        && *due <= now
                        && let Some((_, endpoints)) = queue.pop_front()
                    {
                        match endpoints {
                            Some(endpoints) => routes.insert(port.clone(), endpoints),
                            None => routes.remove(port),
                        };
                    }
                }
                queues.retain(|_, queue| !queue.is_empty());
            }
        }
    }
}

fn sample(delay: Delay) -> Duration {
    if delay.min >= delay.max {
        return delay.min;
    }
    rand::random_range(delay.min..=delay.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(endpoint: &str) -> Routes {
        let port = ServicePort {
            id: "default/demo:80".to_owned(),
            address: "10.96.0.10:80".parse().unwrap(),
        };
        Routes::from([(port, vec![endpoint.parse().unwrap()])])
    }

    #[test]
    fn kube_proxy_syncs_twice_at_once_and_then_once_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(None, start);
        let mut routes = Routes::new();
        assert_eq!(pace.due(start), None);
        for (at, endpoint, expected) in [
            (0, "10.244.0.2:1", 0),
            (10, "10.244.0.2:2", 10),
            (20, "10.244.0.2:3", 1_000),
        ] {
            let now = start + Duration::from_millis(at);
            pace.ask(to(endpoint), now);
            let due = pace.due(now).expect("a change waits");
            let after = due - start;
            assert!(
                after.abs_diff(Duration::from_millis(expected)) < Duration::from_millis(2),
                "{after:?}"
            );
            pace.apply(&mut routes, due);
            assert_eq!(routes, to(endpoint));
        }
    }

    #[test]
    fn delayed_changes_keep_their_order_and_the_first_waits_for_nothing() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(
            Some(Delay {
                min: second,
                max: second,
            }),
            start,
        );
        let mut routes = Routes::new();
        pace.ask(to("10.244.0.2:1"), start);
        assert_eq!(pace.due(start), Some(start));
        pace.apply(&mut routes, start);
        assert_eq!(routes, to("10.244.0.2:1"));
        pace.ask(to("10.244.0.2:2"), start);
        pace.ask(Routes::new(), start + second / 2);
        pace.apply(&mut routes, start + second);
        assert_eq!(routes, to("10.244.0.2:2"));
        assert_eq!(pace.due(start), Some(start + second * 3 / 2));
        pace.apply(&mut routes, start + second * 2);
        assert_eq!(routes, Routes::new());
    }
}
