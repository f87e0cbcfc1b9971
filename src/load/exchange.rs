//! How does one request go over one connection, and is the connection good for another?
//!
//! The library's connection is polled by the task that waits for the answer, so a request costs no
//! hand-over between tasks, and an idle connection costs nothing at all.

use super::answer::{Answer, BODY_PREFIX, BODY_SEARCHED};
use super::carry::Trace;
use super::failure::Broken;
use super::request::Class;
use super::wire::{Sight, Stream, Wire};
use crate::evidence::RequestPhase;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use uuid::Uuid;

/// How long a server may take to close a connection that both sides said to close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// A connection that requests go over, one at a time.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    state: State,
    sight: Sight,
    pub(super) id: u64,
    pub(super) established: Instant,
    pub(super) requests: u64,
    pub(super) idle_since: Instant,
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: Option<SocketAddr>,
}

/// The library's connection, or what is left of it. It has to be taken apart as soon as it is over:
/// only then does a request hear of it that had been handed to it and not yet begun.
enum State {
    Open(Box<Connection<TokioIo<Wire>, Full<Bytes>>>),
    Over(Option<Wire>),
}

/// Why an exchange gave no answer.
pub(super) enum Unanswered {
    /// The connection was found closed before anything was sent: the request is still unsent.
    Unused,
    /// The request was lost.
    Broken(Broken),
}

impl Link {
    pub(super) async fn over(stream: Stream, id: u64, trace: &Trace) -> hyper::Result<Self> {
        let (wire, sight) = Wire::new(stream);
        let (sender, connection) = Builder::new().handshake(TokioIo::new(wire)).await?;
        let now = Instant::now();
        Ok(Self {
            sender,
            state: State::Open(Box::new(connection)),
            sight,
            id,
            established: trace.connected.unwrap_or(now),
            requests: 0,
            idle_since: now,
            local: trace.local,
            remote: trace.remote,
        })
    }

    /// Moves the connection on; `true` once it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if let State::Open(connection) = &mut self.state
            // An error of the connection reaches the request that waits on it as well.
            && connection.poll_without_shutdown(cx).is_ready()
            && let State::Open(connection) = std::mem::replace(&mut self.state, State::Over(None))
        {
            self.state = State::Over(Some(connection.into_parts().io.into_inner()));
        }
        matches!(self.state, State::Over(_))
    }

    /// Whether an idle connection has ended; asks only what the runtime has already heard.
    pub(super) fn ended(&mut self) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop())) || self.sender.is_closed()
    }

    /// Polls the connection along with what waits for it.
    async fn drive<F: Future>(&mut self, waiting: F) -> F::Output {
        let mut waiting = pin!(waiting);
        poll_fn(|cx| {
            self.poll(cx);
            waiting.as_mut().poll(cx)
        })
        .await
    }

    /// Sends a request and reads its answer; the trace follows.
    pub(super) async fn exchange(
        &mut self,
        class: &Class,
        id: Uuid,
        close: bool,
        trace: &mut Trace,
    ) -> Result<(), Unanswered> {
        self.sight.begin(self.requests > 0);
        trace.phase = RequestPhase::Send;
        trace.sight = Some(self.sight.clone());
        let response = self.sender.send_request(class.request(id, close));
        let response = match self.drive(response).await {
            Ok(response) => response,
            Err(error) => return Err(self.unanswered(&error, class)),
        };
        trace.phase = RequestPhase::Body;
        let (head, mut body) = response.into_parts();
        let answer = trace.answer.insert(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: Vec::new(),
        });
        let limit = if class.pattern.is_some() {
            BODY_SEARCHED
        } else {
            BODY_PREFIX
        };
        while let Some(frame) = self.drive(body.frame()).await {
            match frame {
                Ok(frame) => {
                    if let Some(piece) = frame.data_ref() {
                        answer.keep(piece, limit);
                    }
                }
                Err(error) => {
                    let seen = self.sight.get();
                    let broken = Broken::from_exchange(RequestPhase::Body, &seen, &error);
                    return Err(Unanswered::Broken(broken));
                }
            }
        }
        trace.end = Some(Instant::now());
        self.requests += 1;
        Ok(())
    }

    fn unanswered(&self, error: &hyper::Error, class: &Class) -> Unanswered {
        let seen = self.sight.get();
        if seen.unused() {
            return Unanswered::Unused;
        }
        let phase = if seen.sent_whole(class.body.len()) {
            RequestPhase::WaitHeaders
        } else {
            RequestPhase::Send
        };
        Unanswered::Broken(Broken::from_exchange(phase, &seen, error))
    }

    /// After an answer: whether the connection can carry another request.
    pub(super) async fn settles(&mut self) -> bool {
        let idle = poll_fn(|cx| {
            if self.poll(cx) {
                return Poll::Ready(false);
            }
            self.sender.poll_ready(cx).map(|ready| ready.is_ok())
        });
        let idle = idle.await;
        self.idle_since = Instant::now();
        idle
    }

    /// Lets the server close first, so that the port's wait after the close is the server's and
    /// not one of our few local ports.
    pub(super) async fn linger(mut self) {
        let close = async {
            poll_fn(|cx| {
                if self.poll(cx) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            let mut rest = [0; 512];
            if let State::Over(Some(wire)) = &mut self.state {
                while wire.read(&mut rest).await.is_ok_and(|count| count > 0) {}
            }
        };
        // A server that keeps it open all the same is left.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, close).await;
    }
}
