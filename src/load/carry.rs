//! How does one arrival get from its intended send time to its end?
//!
//! One task for each arrival. It is sent once: the only request that goes to another connection is
//! one of which not a byte had left, because its kept connection was found closed.

use super::answer::Answer;
use super::exchange::{Link, Unanswered};
use super::failure::Broken;
use super::lane::Lane;
use super::pool::Choice;
use super::request::Class;
use super::tally::Ended;
use super::wire::{Seen, Sight};
use crate::evidence::{
    Connection, ConnectionKind, EventKind, FailedRequest, Interval, Outcome, RequestPhase,
    ResponseFacts, Source,
};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;
use uuid::Uuid;

/// One request that the schedule wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) intended: Instant,
    pub(super) class: usize,
}

/// The connection that an arrival begins with.
pub(super) enum Way {
    /// One for it alone.
    Own,
    /// A new one that shall be kept.
    Fresh,
    /// A kept one that was idle.
    Idle(Box<Link>),
}

/// How far a request came.
pub(super) struct Trace {
    pub(super) phase: RequestPhase,
    pub(super) sent: Option<Instant>,
    pub(super) connected: Option<Instant>,
    pub(super) end: Option<Instant>,
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: Option<SocketAddr>,
    pub(super) sight: Option<Sight>,
    pub(super) answer: Option<Answer>,
    pub(super) connection: Connection,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self {
            phase: RequestPhase::Connect,
            sent: None,
            connected: None,
            end: None,
            local: None,
            remote: None,
            sight: None,
            answer: None,
            connection: Connection {
                kind: ConnectionKind::New,
                id: 0,
                age: 0,
                requests_before: 0,
                idle: 0,
            },
        }
    }

    fn seen(&self) -> Seen {
        self.sight.as_ref().map(Sight::get).unwrap_or_default()
    }

    /// The phase, where nothing but the clock ended the request.
    pub(super) fn reached(&self, class: &Class) -> RequestPhase {
        match self.phase {
            RequestPhase::Send if self.seen().sent_whole(class.body.len()) => {
                RequestPhase::WaitHeaders
            }
            phase => phase,
        }
    }

    /// The request begins on a new connection.
    fn fresh(&mut self, id: u64) {
        *self = Self::new();
        self.sent = Some(Instant::now());
        self.connection.id = id;
    }

    /// The request begins on a kept connection.
    fn kept(&mut self, link: &Link) {
        *self = Self::new();
        let now = Instant::now();
        self.sent = Some(now);
        self.local = link.local;
        self.remote = link.remote;
        self.connection = Connection {
            kind: ConnectionKind::Reused,
            id: link.id,
            age: span(link.established, now),
            requests_before: link.requests,
            idle: span(link.idle_since, now),
        };
    }
}

fn span(from: Instant, to: Instant) -> i64 {
    i64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(i64::MAX)
}

/// Which connection a request holds, and the pool's view of it.
#[derive(Default)]
pub(super) struct Hold {
    link: Option<Box<Link>>,
    place: Place,
}

/// The pool's view of a request's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// None of the pool's business.
    #[default]
    Outside,
    /// A connect that shall become a kept connection.
    Attempt,
    /// A kept connection.
    Kept,
}

/// What became of an arrival.
pub(super) enum Carried {
    /// A complete answer.
    Answered,
    /// None.
    Broken(Broken),
    /// Its kept connection was found closed, and the pool had no other.
    Dropped,
}

/// Sends one request over `way`, or over another where that one was found closed unused.
pub(super) async fn attempt(
    lane: &Lane,
    class: &Class,
    id: Uuid,
    way: Way,
    trace: &mut Trace,
    hold: &mut Hold,
) -> Carried {
    let mut way = way;
    loop {
        let close = match way {
            Way::Own => true,
            Way::Fresh => {
                hold.place = Place::Attempt;
                false
            }
            Way::Idle(link) => {
                trace.kept(&link);
                hold.place = Place::Kept;
                hold.link = Some(link);
                false
            }
        };
        let mut surplus = false;
        if hold.link.is_none() {
            // Boxed: most requests need none, and theirs shall not carry room for a TLS handshake.
            match Box::pin(open(lane, trace)).await {
                Ok(link) => hold.link = Some(link),
                Err(broken) => return Carried::Broken(broken),
            }
            if hold.place == Place::Attempt {
                surplus = !lane.pool().connected();
                hold.place = if surplus { Place::Outside } else { Place::Kept };
            }
        }
        let link = hold.link.as_mut().expect("set above");
        match link.exchange(class, id, close || surplus, trace).await {
            Ok(()) => return Carried::Answered,
            Err(Unanswered::Broken(broken)) => return Carried::Broken(broken),
            Err(Unanswered::Unused) => {
                *hold = Hold::default();
                let mut pool = lane.pool();
                pool.found_closed();
                way = match pool.take(Instant::now()) {
                    Choice::Idle(link) => Way::Idle(link),
                    Choice::Open => Way::Fresh,
                    Choice::Drop => return Carried::Dropped,
                };
            }
        }
    }
}

async fn open(lane: &Lane, trace: &mut Trace) -> Result<Box<Link>, Broken> {
    trace.fresh(lane.next_connection());
    let id = trace.connection.id;
    let stream = lane.dialer.dial(trace).await?;
    let link = Link::over(stream, id, trace).await;
    link.map(Box::new)
        .map_err(|error| Broken::from_exchange(RequestPhase::Send, &Seen::default(), &error))
}

/// Carries an arrival to its end and records it.
pub(super) async fn carry(lane: Arc<Lane>, arrival: Arrival, way: Way) {
    let _flight = lane.flight();
    let class = &lane.classes[arrival.class];
    let id = lane.new_id();
    let mut trace = Trace::new();
    let mut hold = Hold::default();
    let slip = Instant::now().saturating_duration_since(arrival.intended);
    lane.tally().begun(slip);
    let deadline = arrival.intended + class.timeout;
    let in_time = {
        // Pinned here, for a task that owned it twice would be twice as long to copy.
        let sending = pin!(attempt(&lane, class, id, way, &mut trace, &mut hold));
        timeout_at(deadline.into(), sending).await
    };
    let carried =
        in_time.unwrap_or_else(|_| Carried::Broken(Broken::timeout(trace.reached(class))));
    let answered = matches!(carried, Carried::Answered);
    record(&lane, &arrival, id, &trace, carried);
    put_away(&lane, hold, answered, deadline).await;
}

/// Gives the connection back, or closes it.
async fn put_away(lane: &Lane, hold: Hold, answered: bool, deadline: Instant) {
    match (hold.place, hold.link) {
        (Place::Attempt, _) => lane.pool().failed(),
        (Place::Kept, Some(mut link)) if answered => {
            let patience = deadline.max(Instant::now() + Duration::from_millis(100));
            let idle = timeout_at(patience.into(), link.settles()).await;
            let mut pool = lane.pool();
            if idle.unwrap_or(false) {
                let (requests, since) = (link.requests, link.idle_since);
                pool.back(link, requests, since);
            } else {
                pool.lost();
            }
        }
        (Place::Kept, _) => lane.pool().lost(),
        (Place::Outside, Some(link)) if answered => {
            tokio::spawn(link.linger());
        }
        (Place::Outside, _) => {}
    }
}

fn record(lane: &Lane, arrival: &Arrival, id: Uuid, trace: &Trace, carried: Carried) {
    let end = trace.end.unwrap_or_else(Instant::now);
    let class = &lane.classes[arrival.class];
    let (fault, phase, answered) = match carried {
        Carried::Dropped => {
            lane.tally().dropped();
            return;
        }
        Carried::Answered => {
            let fault = trace.answer.as_ref().and_then(|answer| answer.fault(class));
            (fault, RequestPhase::Body, true)
        }
        Carried::Broken(broken) => {
            let phase = broken.phase;
            (Some(broken.into_outcome()), phase, false)
        }
    };
    let pod = trace
        .answer
        .as_ref()
        .and_then(|answer| answer.pod(&lane.pod_header));
    lane.tally().ended(&Ended {
        class: arrival.class,
        kind: trace.connection.kind,
        sent: lane.clock.offset_of(trace.sent.unwrap_or(arrival.intended)),
        end: lane.clock.offset_of(end),
        latency: end.saturating_duration_since(arrival.intended),
        pod,
        answered,
        ok: fault.is_none(),
        attempts: trace.answer.as_ref().and_then(Answer::attempts),
    });
    if let Some(outcome) = fault
        && lane.ledger.stores()
    {
        let failed = failed_request(lane, arrival, id, trace, (phase, outcome, end));
        let at = Interval::between(failed.sent.unwrap_or(failed.intended), failed.end);
        let kind = EventKind::RequestFailed(Box::new(failed));
        lane.sink.event(Source::Load, at, kind);
    }
}

fn failed_request(
    lane: &Lane,
    arrival: &Arrival,
    id: Uuid,
    trace: &Trace,
    (phase, outcome, end): (RequestPhase, Outcome, Instant),
) -> FailedRequest {
    let class = &lane.classes[arrival.class];
    let seen = trace.seen();
    let offset = |instant| lane.clock.offset_of(instant);
    FailedRequest {
        request_id: id.to_string(),
        client: lane.client.clone(),
        class: class.name.clone(),
        method: class.method.to_string(),
        path: class.path_for(id).to_string(),
        intended: offset(arrival.intended),
        sent: trace.sent.map(offset),
        connected: trace.connected.map(offset),
        written: seen
            .written
            .filter(|_| seen.sent_whole(class.body.len()))
            .map(offset),
        first_byte: seen.first_byte.map(offset),
        end: offset(end),
        connection: trace.connection.clone(),
        local: trace.local.map(address_text),
        remote: trace.remote.map(|remote| remote.to_string()),
        phase,
        outcome,
        response: trace
            .answer
            .as_ref()
            .map_or_else(ResponseFacts::default, |answer| {
                answer.facts(&lane.pod_header)
            }),
    }
}

/// A socket that failed in connect may know its port alone.
fn address_text(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!(":{}", address.port())
    } else {
        address.to_string()
    }
}
