//! How far is the API server's clock from ours?
//!
//! Each of our calls is sent and answered at instants that we know, and its `Date` header is the
//! server's second in between. Fifty calls spread over the phases of a second bound the offset to
//! about a round trip (facts 6.2); attribution intersects them.

use super::backoff::Backoff;
use crate::cluster::{Call, Cluster};
use crate::evidence::{EventKind, EventSink, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The call: cheap, allowed to every authenticated user.
const PATH: &str = "/version";

/// Between calls at the start: 41 ms shares no factor with a second, so 25 calls meet 25 phases.
const EARLY: Duration = Duration::from_millis(41);

/// Calls at that pace, one second of them.
const EARLY_CALLS: usize = 25;

/// Between calls later, again without a common factor.
const LATER: Duration = Duration::from_millis(487);

/// How many answers carried the server's time.
#[derive(Clone, Debug, Default)]
pub(super) struct Timed(Arc<AtomicU64>);

impl Timed {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Times calls for as long as the run lasts.
pub(super) async fn keep_timing(
    cluster: Cluster,
    sink: EventSink,
    timed: Timed,
    token: CancellationToken,
) {
    let mut backoff = Backoff::default();
    let mut calls = 0;
    loop {
        let answered = tokio::select! {
            () = token.cancelled() => return,
            answered = time_one(&cluster, &sink, &timed) => answered,
        };
        calls += 1;
        let wait = if !answered {
            LATER.max(backoff.next(None))
        } else if calls < EARLY_CALLS {
            EARLY
        } else {
            backoff.reset();
            LATER
        };
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Makes one timed call and records it; `false` when there was no answer.
async fn time_one(cluster: &Cluster, sink: &EventSink, timed: &Timed) -> bool {
    let Ok(exchange) = cluster.attempt(&Call::get(PATH)).await else {
        return false;
    };
    let exchange = exchange.evidence(sink.clock());
    if exchange.server_stamp.is_some() {
        timed.0.fetch_add(1, Ordering::Relaxed);
    }
    sink.now(Source::Run, EventKind::Api(exchange));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::{Answer, kind, scripted, sink, until};

    #[tokio::test]
    async fn a_timed_call_is_recorded_with_the_servers_date_between_its_ends() {
        let date = "Tue, 24 Nov 2026 17:28:49 GMT";
        let (client, _) = scripted(vec![Answer::ok("{}").date(date), Answer::ok("{}")]);
        let cluster = Cluster::new(client, "test", "http://test", "default");
        let (sink, mut facts) = sink();
        let timed = Timed::default();
        assert!(time_one(&cluster, &sink, &timed).await);
        let exchange = until(&mut facts, |fact| match kind(fact)? {
            EventKind::Api(exchange) => Some(exchange.clone()),
            _ => None,
        })
        .await;
        assert_eq!(exchange.server_stamp, Some(1_795_541_329_000_000_000));
        assert!(exchange.sent <= exchange.received);
        assert!(time_one(&cluster, &sink, &timed).await);
        assert_eq!(timed.count(), 1, "an answer without a date bounds nothing");
    }
}
