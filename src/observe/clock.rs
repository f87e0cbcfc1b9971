//! How far is the API server's clock from ours?
//!
//! Each of our calls is sent and answered at instants that we know, and its `Date` header is the
//! server's second in between. Fifty calls spread over the phases of a second bound the offset to
//! about a round trip (facts 6.2); attribution intersects them.

use super::backoff::Backoff;
use crate::evidence::{ApiExchange, EventKind, EventSink, Source};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
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

/// Patience with one call.
const PATIENCE: Duration = Duration::from_secs(5);

/// Times calls for as long as the run lasts.
pub(super) async fn keep_timing(client: Client, sink: EventSink, token: CancellationToken) {
    let mut backoff = Backoff::default();
    let mut calls = 0;
    loop {
        let timed = tokio::select! {
            () = token.cancelled() => return,
            timed = time_api(&client, &sink) => timed,
        };
        calls += 1;
        let wait = match timed {
            Ok(()) => {
                backoff.reset();
                if calls < EARLY_CALLS { EARLY } else { LATER }
            }
            Err(_) => LATER.max(backoff.next(None)),
        };
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Makes one timed call and records it. An answer without a `Date` is recorded as well.
pub async fn time_api(client: &Client, sink: &EventSink) -> Result<(), kube::Error> {
    let request = http::Request::get(PATH)
        .body(Body::empty())
        .map_err(kube::Error::HttpError)?;
    let sent = sink.clock().now();
    let answer = tokio::time::timeout(PATIENCE, client.send(request)).await;
    let received = sink.clock().now();
    let Ok(answer) = answer else {
        let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
        return Err(kube::Error::Service(late.into()));
    };
    let answer = answer?;
    let date = answer.headers().get(http::header::DATE);
    let exchange = ApiExchange {
        verb: "GET".to_owned(),
        path: PATH.to_owned(),
        sent,
        received,
        status: answer.status().as_u16(),
        server_stamp: date
            .and_then(|date| date.to_str().ok())
            .and_then(epoch_nanos),
        server_floor: 1_000_000_000,
    };
    sink.now(Source::Run, EventKind::Api(exchange));
    // The connection is kept only when its body was read.
    let _ = tokio::time::timeout(PATIENCE, answer.into_body().collect()).await;
    Ok(())
}

/// An HTTP date as epoch nanoseconds.
fn epoch_nanos(date: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(date)
        .ok()?;
    i64::try_from(parsed.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Fact, RunClock};

    #[test]
    fn an_http_date_is_read_to_its_second() {
        assert_eq!(
            epoch_nanos("Tue, 24 Nov 2026 17:28:49 GMT"),
            Some(1_795_541_329_000_000_000)
        );
        assert_eq!(epoch_nanos("yesterday"), None);
    }

    #[tokio::test]
    async fn a_timed_call_is_recorded_with_the_servers_date_between_its_ends() {
        let (service, mut server) =
            tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let client = Client::new(service, "default");
        let (sink, mut fact_rx) = EventSink::new(RunClock::start());
        let answer = async {
            let (_, send) = server.next_request().await.expect("a call");
            let answer = http::Response::builder()
                .header("date", "Tue, 24 Nov 2026 17:28:49 GMT")
                .body(Body::empty());
            send.send_response(answer.expect("an answer"));
        };
        let (timed, ()) = tokio::join!(time_api(&client, &sink), answer);
        timed.expect("the call was answered");
        let Some(Fact::Event(event)) = fact_rx.recv().await else {
            panic!("no fact");
        };
        let EventKind::Api(exchange) = event.kind else {
            panic!("{:?}", event.kind);
        };
        assert_eq!(exchange.server_stamp, Some(1_795_541_329_000_000_000));
        assert!(exchange.sent <= exchange.received);
    }
}
