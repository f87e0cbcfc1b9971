//! What does the agent answer on port 15020?

use super::admin;
use super::log::AgentLog;
use super::options::Options;
use super::probing;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Why the agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// SIGTERM.
    Signal,
    /// `/quitquitquit`.
    Quit,
}

/// What requests to the agent read and change.
#[derive(Debug)]
pub(super) struct Shared {
    options: Options,
    log: AgentLog,
    began: Instant,
    drained: AtomicBool,
    ending: OnceLock<Why>,
    /// What the last probe found; `None`: there was none.
    ready: Mutex<Option<bool>>,
    quit: mpsc::Sender<Why>,
}

impl Shared {
    /// The state at the start, and where a request to quit is told.
    pub(super) fn new(options: Options, log: AgentLog) -> (Self, mpsc::Receiver<Why>) {
        // One request to quit is enough.
        let (quit, told) = mpsc::channel(1);
        let shared = Self {
            options,
            log,
            began: Instant::now(),
            drained: AtomicBool::new(false),
            ending: OnceLock::new(),
            ready: Mutex::new(None),
            quit,
        };
        (shared, told)
    }

    /// From now on the proxy is not ready.
    pub(super) fn terminated(&self, why: Why) {
        let _ = self.ending.set(why);
    }

    /// `/drain` or `/quitquitquit` was called.
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire)
    }

    async fn readiness(&self) -> StatusCode {
        let found = match self.ending.get() {
            Some(Why::Signal) => {
                Err("server is terminated: received signal: terminated".to_owned())
            }
            Some(Why::Quit) => Err("server is terminated: /quitquitquit called".to_owned()),
            None => admin::ready().await,
        };
        let before = {
            let mut ready = self.ready.lock().expect("nothing panics in between");
            ready.replace(found.is_ok())
        };
        match found {
            Ok(()) => {
                if before != Some(true) {
                    let took = self.began.elapsed().as_secs_f64();
                    self.log.info(&format!("Readiness succeeded in {took}s"));
                    self.log.info("Envoy proxy is ready");
                }
                StatusCode::OK
            }
            Err(reason) => {
                self.log
                    .warn(&format!("Envoy proxy is NOT ready: {reason}"));
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    async fn drain(&self) -> StatusCode {
        self.log.info("handling /drain, starting drain");
        self.log.info("Agent draining proxy");
        if let Err(error) = admin::drain(true).await {
            self.log.warn(&format!(
                "Error in invoking drain listeners endpoint: {error}"
            ));
        }
        self.drained.store(true, Ordering::Release);
        StatusCode::OK
    }

    fn quit(&self) -> StatusCode {
        self.log
            .info("handling /quitquitquit, notifying pilot-agent to exit");
        self.drained.store(true, Ordering::Release);
        // A second request finds the first one still waiting.
        let _ = self.quit.try_send(Why::Quit);
        StatusCode::OK
    }

    /// Without Envoy the agent has nothing to tell: pilot-agent's own statistics are not imitated.
    async fn answer(&self, method: &Method, path: &str, peer: SocketAddr) -> (StatusCode, String) {
        if path == "/stats/prometheus" {
            let counted = admin::prometheus().await.unwrap_or_default();
            return (StatusCode::OK, counted);
        }
        (self.act(method, path, peer).await, String::new())
    }

    async fn act(&self, method: &Method, path: &str, peer: SocketAddr) -> StatusCode {
        match path {
            "/healthz/ready" => self.readiness().await,
            "/drain" | "/quitquitquit" if !peer.ip().is_loopback() => StatusCode::FORBIDDEN,
            "/drain" | "/quitquitquit" if method != Method::POST => StatusCode::METHOD_NOT_ALLOWED,
            "/drain" => self.drain().await,
            "/quitquitquit" => self.quit(),
            path => match self.options.probers.get(path) {
                Some(prober) => probing::ask(prober, path, &self.options, &self.log).await,
                None => StatusCode::NOT_FOUND,
            },
        }
    }
}

/// Answers until it is aborted; connections that exist then go on to be answered.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file handles: others will be free in a moment.
            tokio::task::yield_now().await;
            continue;
        };
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request: Request<Incoming>| {
            let shared = Arc::clone(&shared);
            async move {
                let path = request.uri().path().to_owned();
                let (status, body) = shared.answer(request.method(), &path, peer).await;
                let mut response = Response::new(Full::new(Bytes::from(body)));
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(async move {
            // A peer that breaks off is nobody's concern.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
