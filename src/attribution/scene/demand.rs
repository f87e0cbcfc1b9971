//! How often did each client choose a pod anew, and when?
//!
//! A route that is there is taken sooner or later. Where a pod would have answered, or refused, and
//! nothing of it was seen although it was due several times, no route led to it. A client without a
//! sidecar chooses with each new connection, one behind a sidecar with each request.

use super::is_meshed;
use crate::evidence::{ClientInfo, ConnectionKind, EventKind, RunOffset, Timeline};
use std::collections::BTreeMap;

/// The choices of every client, in the order of their names.
#[derive(Debug, Default)]
pub(in crate::attribution) struct Demand {
    clients: Vec<Choices>,
}

/// Choices of one client, summed up to the start of each bucket.
#[derive(Debug, Default)]
struct Choices {
    /// Start of a bucket, and the choices before it; the last entry ends the last bucket.
    sums: Vec<(i64, f64)>,
}

impl Demand {
    pub(super) fn of(timeline: &Timeline, clients: &BTreeMap<String, ClientInfo>) -> Self {
        let mut buckets: BTreeMap<&str, BTreeMap<i64, (i64, f64)>> = BTreeMap::new();
        for event in &timeline.events {
            let EventKind::Requests(counts) = &event.kind else {
                continue;
            };
            if !is_meshed(clients, &counts.client) && counts.connection != ConnectionKind::New {
                continue;
            }
            let own = buckets.entry(counts.client.as_str()).or_default();
            let bucket = own.entry(counts.bucket.0).or_insert((0, 0.0));
            bucket.0 = bucket.0.max(counts.width.max(1));
            bucket.1 += (counts.ok + counts.failed) as f64;
        }
        let clients = clients.keys().map(|name| {
            let own = buckets.remove(name.as_str()).unwrap_or_default();
            Choices::sum(&own)
        });
        Self {
            clients: clients.collect(),
        }
    }

    /// Choices of a client between two instants, spread evenly within a bucket.
    pub(in crate::attribution) fn between(
        &self,
        client: usize,
        from: RunOffset,
        to: RunOffset,
    ) -> f64 {
        let Some(choices) = self.clients.get(client) else {
            return 0.0;
        };
        (choices.until(to.0) - choices.until(from.0)).max(0.0)
    }
}

impl Choices {
    fn sum(buckets: &BTreeMap<i64, (i64, f64)>) -> Self {
        let mut sums: Vec<(i64, f64)> = Vec::with_capacity(2 * buckets.len());
        let mut total = 0.0;
        for (start, (width, count)) in buckets {
            // Buckets of one client may overlap only where their widths differ; time goes on.
            let start = sums.last().map_or(*start, |(end, _)| (*end).max(*start));
            sums.push((start, total));
            total += count;
            sums.push((start.saturating_add(*width), total));
        }
        Self { sums }
    }

    fn until(&self, at: i64) -> f64 {
        let next = self.sums.partition_point(|(start, _)| *start <= at);
        let (Some(before), after) = (next.checked_sub(1), self.sums.get(next)) else {
            return 0.0;
        };
        let (start, sum) = self.sums[before];
        after.map_or(sum, |(end, total)| {
            sum + (total - sum) * (at - start) as f64 / (end - start).max(1) as f64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_spread_evenly_within_a_bucket() {
        let choices = Choices::sum(&BTreeMap::from([
            (0, (10, 20.0)),
            (10, (10, 0.0)),
            (30, (10, 10.0)),
        ]));
        for (at, sum) in [
            (-5, 0.0),
            (0, 0.0),
            (5, 10.0),
            (10, 20.0),
            (25, 20.0),
            (35, 25.0),
            (90, 30.0),
        ] {
            assert!((choices.until(at) - sum).abs() < 1e-9, "{at}");
        }
    }
}
