//! An API server of a few scripted answers, and what came of them.

use crate::evidence::{EventKind, EventSink, Fact, RunClock};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// How a scripted answer's body ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tail {
    /// In good order.
    Eof,
    /// The connection breaks.
    Break,
    /// Not at all.
    Open,
}

type Scripted = BoxBody<Bytes, std::io::Error>;

/// One scripted answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) tail: Tail,
    pub(super) date: Option<&'static str>,
}

impl Answer {
    pub(super) fn ok(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            tail: Tail::Eof,
            date: None,
        }
    }

    pub(super) fn status(code: u16, reason: &str) -> Self {
        let body = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": reason,
        });
        Self {
            status: code,
            ..Self::ok(body.to_string())
        }
    }

    pub(super) fn date(self, date: &'static str) -> Self {
        Self {
            date: Some(date),
            ..self
        }
    }

    pub(super) fn tail(self, tail: Tail) -> Self {
        Self { tail, ..self }
    }
}

/// The requests that a scripted server got.
pub(super) type Asked = Arc<Mutex<Vec<String>>>;

/// A client whose requests are answered in turn; beyond the script they are never answered.
pub(super) fn scripted(answers: Vec<Answer>) -> (Client, Asked) {
    let (service, mut server) = tower_test::mock::pair::<Request<Body>, Response<Scripted>>();
    let asked = Asked::default();
    let log = asked.clone();
    tokio::spawn(async move {
        let mut answers = VecDeque::from(answers);
        let mut unanswered = Vec::new();
        while let Some((request, send)) = server.next_request().await {
            log.lock().unwrap().push(request.uri().to_string());
            match answers.pop_front() {
                Some(answer) => send.send_response(response(answer)),
                None => unanswered.push(send),
            }
        }
    });
    (Client::new(service, "default"), asked)
}

fn response(answer: Answer) -> Response<Scripted> {
    let (frame_tx, frame_rx) = mpsc::channel(2);
    let first = Frame::data(Bytes::from(answer.body));
    tokio::spawn(async move {
        let _ = frame_tx.send(Ok(first)).await;
        match answer.tail {
            Tail::Eof => {}
            Tail::Break => {
                let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                let _ = frame_tx.send(Err(reset)).await;
            }
            Tail::Open => frame_tx.closed().await,
        }
    });
    let frames = futures::stream::unfold(frame_rx, |mut frames| async move {
        Some((frames.recv().await?, frames))
    });
    let dated = answer.date.into_iter().fold(
        Response::builder().status(answer.status),
        |response, date| response.header(http::header::DATE, date),
    );
    dated.body(StreamBody::new(frames).boxed()).unwrap()
}

/// A sink and the end at which its facts are read.
pub(super) fn sink() -> (EventSink, mpsc::Receiver<Fact>) {
    EventSink::new(RunClock::start())
}

/// Reads facts until one fits.
pub(super) async fn until<T>(
    facts: &mut mpsc::Receiver<Fact>,
    mut fits: impl FnMut(&Fact) -> Option<T>,
) -> T {
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(20), facts.recv()).await {
            Ok(Some(fact)) => match fits(&fact) {
                Some(found) => return found,
                None => seen.push(fact),
            },
            _ => panic!("the fact did not come; seen: {seen:#?}"),
        }
    }
}

/// The event of a fact.
pub(super) fn kind(fact: &Fact) -> Option<&EventKind> {
    match fact {
        Fact::Event(event) => Some(&event.kind),
        Fact::Line { .. } => None,
    }
}
