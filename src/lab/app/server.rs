//! How does the app answer?

use super::clock::AppLog;
use super::notify;
use super::settings::Settings;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often a proxy has tried a request (facts 4.7).
const ATTEMPTS: &str = "x-envoy-attempt-count";

/// The exit code of a crash that `CRASH_AFTER` asked for.
const CRASH: u8 = 3;

/// How long a draining app waits for the first request of a connection, as Go's server does.
const UNUSED_PATIENCE: Duration = Duration::from_secs(5);

/// The ids whose effects are counted, at most: a test app of short runs, bounded all the same.
const MAX_EFFECTS: usize = 200_000;

/// The listener and its connections.
#[derive(Clone)]
pub(super) struct Server(Arc<State>);

struct State {
    settings: Settings,
    log: AppLog,
    started: Instant,
    refusing: AtomicBool,
    parting: AtomicBool,
    served: AtomicU64,
    /// Requests that have no answer yet.
    busy: AtomicUsize,
    open: AtomicUsize,
    emptied: Notify,
    crash: Notify,
    draining: watch::Sender<bool>,
    effects: Mutex<HashMap<String, u64>>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    pub(super) fn new(settings: Settings, log: AppLog) -> Self {
        Self(Arc::new(State {
            settings,
            log,
            started: Instant::now(),
            refusing: AtomicBool::new(false),
            parting: AtomicBool::new(false),
            served: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            emptied: Notify::new(),
            crash: Notify::new(),
            draining: watch::Sender::new(false),
            effects: Mutex::default(),
            acceptor: Mutex::default(),
        }))
    }

    /// Opens the listener.
    pub(super) async fn listen(&self) -> std::io::Result<()> {
        let settings = &self.0.settings;
        let listener = TcpListener::bind((settings.bind.as_str(), settings.port)).await?;
        let server = self.clone();
        let acceptor = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => server.take(stream),
                    // Out of files: leave the others time to end.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        *self.0.acceptor.lock().expect("no panic holds the lock") = Some(acceptor);
        Ok(())
    }

    /// Comes back when `CRASH_AFTER` requests have been served.
    pub(super) async fn crashed(&self) -> ExitCode {
        self.0.crash.notified().await;
        self.0.log.say("fatal: cannot continue");
        ExitCode::from(CRASH)
    }

    /// From now on every request is answered 503.
    pub(super) fn refuse(&self) {
        self.0.refusing.store(true, Ordering::SeqCst);
    }

    /// From now on every answer is the last of its connection.
    pub(super) fn part(&self) {
        self.0.parting.store(true, Ordering::SeqCst);
    }

    /// Closes the listener and the idle connections, and waits for the busy ones.
    pub(super) async fn drain(&self) {
        let acceptor = self
            .0
            .acceptor
            .lock()
            .expect("no panic holds the lock")
            .take();
        if let Some(acceptor) = acceptor {
            acceptor.abort();
            // Awaited, so that the listener is closed before the first idle connection is.
            let _ = acceptor.await;
        }
        self.0.draining.send_replace(true);
        loop {
            let emptied = self.0.emptied.notified();
            if self.0.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn take(&self, stream: TcpStream) {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let server = self.clone();
        tokio::spawn(async move {
            server.converse(stream).await;
            server.close();
        });
    }

    /// One of what a drain waits for has ended.
    fn close(&self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.emptied.notify_waiters();
        }
    }

    /// Works on a request for so long, for nobody perhaps: a Go handler does not end when its
    /// client has gone, and a drain waits for it.
    async fn work(&self, length: Duration) {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let server = self.clone();
        let working = tokio::spawn(async move {
            tokio::time::sleep(length).await;
            server.close();
        });
        working.await.expect("a sleep does not panic");
    }

    async fn converse(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let activity = watch::Sender::new(0_u64);
        let service = hyper::service::service_fn(|request| {
            activity.send_modify(|count| *count += 1);
            let answered = Answered(&activity);
            async move {
                let id = id_of(&request);
                let attempts = request.headers().get(ATTEMPTS).cloned();
                let mut response = self.answer(request).await;
                if let Some(attempts) = attempts.filter(|_| self.0.settings.echo_attempts) {
                    response.headers_mut().insert(ATTEMPTS, attempts);
                }
                if response.status().is_server_error() {
                    let code = response.status().as_u16();
                    self.0.settings.witness.answered(&id, code);
                }
                drop(answered);
                Ok::<_, Infallible>(response)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut draining = self.0.draining.subscribe();
        let mut idle = pin!(idle_for(
            activity.subscribe(),
            self.0.settings.keepalive_timeout
        ));
        let mut closing = false;
        loop {
            tokio::select! {
                // A broken connection is the client's to report.
                _ = connection.as_mut() => return,
                () = tokio::time::sleep(UNUSED_PATIENCE), if closing && *activity.borrow() == 0 => return,
                _ = draining.wait_for(|draining| *draining), if !closing => {}
                () = idle.as_mut(), if !closing => {}
            }
            closing = true;
            connection.as_mut().graceful_shutdown();
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        if path == "/busy" {
            let busy = self.0.busy.load(Ordering::SeqCst);
            return self.respond(StatusCode::OK, &format!("{busy}\n"));
        }
        let _busy = (path != "/healthz").then(|| {
            self.count_served();
            Busy::one_more(&self.0.busy)
        });
        if self.0.refusing.load(Ordering::SeqCst) {
            return self.respond(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
        }
        match path.as_str() {
            "/healthz" if self.0.started.elapsed() < self.0.settings.ready_after => {
                self.respond(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
            }
            "/healthz" => self.respond(StatusCode::OK, "ok\n"),
            "/delay" => {
                let millis = parameter(&query, "ms").and_then(|ms| ms.parse().ok());
                self.work(Duration::from_millis(millis.unwrap_or(0))).await;
                self.respond(StatusCode::OK, "ok\n")
            }
            "/status" => {
                let code = parameter(&query, "code").and_then(|code| code.parse().ok());
                let status = code.and_then(|code| StatusCode::from_u16(code).ok());
                self.respond(status.unwrap_or(StatusCode::BAD_REQUEST), "as you wish\n")
            }
            "/call" => self.call().await,
            "/" if request.method() == Method::POST => self.effect(request, &query).await,
            "/" if rand::random::<f64>() < self.0.settings.error_rate => {
                self.respond(StatusCode::INTERNAL_SERVER_ERROR, "no luck\n")
            }
            "/" => self.respond(StatusCode::OK, "ok\n"),
            _ => self.respond(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    /// Answers with what `CALL_URL` answers, as an app does that needs another one for it.
    async fn call(&self) -> Response<Full<Bytes>> {
        let Some(url) = &self.0.settings.call_url else {
            return self.respond(StatusCode::NOT_FOUND, "no CALL_URL\n");
        };
        match notify::call(url).await {
            Ok(()) => self.respond(StatusCode::OK, "ok\n"),
            Err(text) => {
                self.0.settings.witness.call_lost();
                let log = &self.0.log;
                log.say(&format!("call failed: Post \"{url}\": {text}"));
                self.respond(StatusCode::BAD_GATEWAY, "call failed\n")
            }
        }
    }

    /// Counts how often a POST with this id had its effect: the answer says `effects: 2` when a
    /// retry has repeated it here.
    async fn effect(&self, request: Request<Incoming>, query: &str) -> Response<Full<Bytes>> {
        let mut id = id_of(&request);
        if id.is_empty() {
            id = parameter(query, "lastwatch-id")
                .unwrap_or_default()
                .to_owned();
        }
        let _ = request.into_body().collect().await;
        let count = {
            let mut effects = self.0.effects.lock().expect("no panic holds the lock");
            if effects.len() >= MAX_EFFECTS {
                effects.clear();
            }
            let count = effects.entry(id).or_insert(0);
            *count += 1;
            *count
        };
        self.respond(StatusCode::OK, &format!("effects: {count}\n"))
    }

    fn count_served(&self) {
        let served = self.0.served.fetch_add(1, Ordering::SeqCst) + 1;
        if self.0.settings.crash_after == Some(served) {
            self.0.crash.notify_one();
        }
    }

    fn respond(&self, status: StatusCode, body: &str) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(body.to_owned()));
        *response.status_mut() = status;
        if let Ok(name) = self.0.settings.pod_name.parse() {
            response.headers_mut().insert("x-pod-name", name);
        }
        if self.0.parting.load(Ordering::SeqCst) {
            let close = http::HeaderValue::from_static("close");
            response
                .headers_mut()
                .insert(http::header::CONNECTION, close);
        }
        response
    }
}

/// What the client calls its request.
fn id_of(request: &Request<Incoming>) -> String {
    let id = request.headers().get("x-lastwatch-id");
    let id = id.and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

/// A request that has no answer yet.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tells the idle clock that an answer is on its way, even when its request was dropped.
struct Answered<'a>(&'a watch::Sender<u64>);

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// Comes back when the connection has had no request for `patience`. The count is even between
/// requests and odd within one.
async fn idle_for(mut activity: watch::Receiver<u64>, patience: Option<Duration>) {
    let Some(patience) = patience else {
        return std::future::pending().await;
    };
    loop {
        if activity.wait_for(|count| count % 2 == 0).await.is_err() {
            return std::future::pending().await;
        }
        match tokio::time::timeout(patience, activity.changed()).await {
            Err(_) => return,
            Ok(Err(_)) => return std::future::pending().await,
            Ok(Ok(())) => {}
        }
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
