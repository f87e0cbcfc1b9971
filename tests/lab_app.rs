//! The test app keeps its contract: what each `ON_TERM` does to a request on its way, and with
//! which code the process ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

struct App {
    child: Child,
    port: u16,
}

impl App {
    fn start(env: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .expect("the test's own plumbing works")
            .local_addr()
            .expect("the test's own plumbing works")
            .port();
        let child = Command::new(env!("CARGO_BIN_EXE_lastwatch"))
            .args(["lab", "app"])
            .env("PORT", port.to_string())
            .env("LAB_BIND", "127.0.0.1")
            .env("POD_NAME", "demo-1")
            .envs(env.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the test's own plumbing works");
        let app = Self { child, port };
        until("the app listens", || app.connect().is_some());
        app
    }

    fn connect(&self) -> Option<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port)).ok()
    }

    fn send(&self, path: &str) -> TcpStream {
        self.send_with(path, "")
    }

    /// Sends a request with more headers, each with its line's end.
    fn send_with(&self, path: &str, headers: &str) -> TcpStream {
        let mut stream = self.connect().expect("the app listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: demo\r\n{headers}\r\n")
            .expect("the test's own plumbing works");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("the test's own plumbing works");
        stream
    }

    fn get(&self, path: &str) -> String {
        head(&mut self.send(path))
    }

    /// Waits until so many requests are with the app and have no answer yet.
    fn until_busy(&self, wanted: usize) {
        until("the requests are on their way", || {
            let mut stream = self.connect().expect("the app listens");
            write!(stream, "GET /busy HTTP/1.0\r\n\r\n").expect("the test's own plumbing works");
            let mut answer = String::new();
            stream
                .read_to_string(&mut answer)
                .expect("the app answers and closes");
            let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
            body.trim() == wanted.to_string()
        });
    }

    fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(
            i32::try_from(self.child.id()).expect("the test's own plumbing works"),
        );
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)
            .expect("the test's own plumbing works");
    }

    fn end(mut self) -> (ExitStatus, String) {
        let mut status = None;
        until("the app ends", || {
            status = self
                .child
                .try_wait()
                .expect("the test's own plumbing works");
            status.is_some()
        });
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .expect("the test's own plumbing works")
            .read_to_string(&mut log)
            .expect("the test's own plumbing works");
        (status.expect("the test's own plumbing works"), log)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut predicate: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !predicate() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The response up to its empty line, or what came before the connection ended.
fn head(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        seen.push(byte[0]);
    }
    String::from_utf8_lossy(&seen).to_lowercase()
}

fn refuses(app: &App) -> impl FnMut() -> bool {
    || app.connect().is_none()
}

#[test]
fn an_answer_names_its_pod_and_the_status_that_was_asked_for() {
    let app = App::start(&[("READY_AFTER", "1h")]);
    let answer = app.get("/status?code=418");
    assert!(answer.starts_with("http/1.1 418"), "{answer}");
    assert!(answer.contains("x-pod-name: demo-1"), "{answer}");
    assert!(app.get("/healthz").starts_with("http/1.1 503"));
}

#[test]
fn draining_closes_the_listener_and_idle_connections_but_finishes_the_request_on_its_way() {
    let app = App::start(&[("ON_TERM", "drain"), ("CLEANUP", "200ms")]);
    let mut idle = app.send("/");
    assert!(head(&mut idle).starts_with("http/1.1 200"));
    let mut busy = app.send("/delay?ms=1500");
    app.until_busy(1);
    app.terminate();
    until("new connections are refused", refuses(&app));
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    let answer = head(&mut busy);
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    let (status, log) = app.end();
    assert!(status.success());
    for line in [
        "listening on :",
        "received SIGTERM",
        "drained",
        "shutdown complete",
    ] {
        assert!(log.contains(line), "no `{line}` in {log}");
    }
}

#[test]
fn draining_goes_on_with_a_request_whose_client_has_gone() {
    let app = App::start(&[("ON_TERM", "drain")]);
    let asked = Instant::now();
    let gone = app.send("/delay?ms=1500");
    app.until_busy(1);
    drop(gone);
    app.terminate();
    let (status, log) = app.end();
    assert!(status.success(), "{log}");
    assert!(asked.elapsed() >= Duration::from_millis(1500), "{log}");
}

#[test]
fn exiting_at_once_cuts_the_request_on_its_way_and_ends_with_0() {
    let app = App::start(&[("ON_TERM", "exit")]);
    let mut busy = app.send("/delay?ms=15000");
    app.until_busy(1);
    app.terminate();
    assert_eq!(head(&mut busy), "");
    assert!(app.end().0.success());
}

#[test]
fn refusing_answers_503_while_shutting_down() {
    let app = App::start(&[("ON_TERM", "refuse"), ("CLEANUP", "2s")]);
    assert!(app.get("/").starts_with("http/1.1 200"));
    app.terminate();
    until("503", || app.get("/").starts_with("http/1.1 503"));
    assert!(app.end().0.success());
}

#[test]
fn serving_on_answers_until_the_drain_and_lost_calls_are_logged_as_go_would() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let app = App::start(&[
        ("SERVE_ON", "1s"),
        ("NOTIFY_URL", &url),
        ("NOTIFY_COUNT", "3"),
        ("NOTIFY_OVER", "300ms"),
    ]);
    app.terminate();
    assert!(app.get("/").starts_with("http/1.1 200"));
    let (status, log) = app.end();
    assert!(status.success());
    let expected = format!("notify 3 failed: Post \"{url}\": dial tcp ");
    assert!(log.contains(&expected), "{log}");
    assert!(log.contains(": connect: connection refused"), "{log}");
}

#[test]
fn a_call_for_an_answer_is_made_and_a_lost_one_is_a_502_and_logged_as_go_would() {
    let peer = App::start(&[]);
    let url = format!("http://127.0.0.1:{}/", peer.port);
    let app = App::start(&[("CALL_URL", &url)]);
    assert!(app.get("/call").starts_with("http/1.1 200"));
    drop(peer);
    assert!(app.get("/call").starts_with("http/1.1 502"));
    app.terminate();
    let (status, log) = app.end();
    assert!(status.success());
    let lost: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("call failed"))
        .collect();
    let [line] = lost.as_slice() else {
        panic!("one call was lost: {log}");
    };
    assert!(
        line.contains(&format!("Post \"{url}\": dial tcp ")),
        "{log}"
    );
    assert!(line.ends_with(": connect: connection refused"), "{log}");
}

#[test]
fn an_app_that_calls_nobody_has_no_such_path() {
    let app = App::start(&[]);
    assert!(app.get("/call").starts_with("http/1.1 404"));
}

#[test]
fn an_app_echoes_the_attempts_of_a_request_where_it_is_asked_to() {
    let attempts = "x-envoy-attempt-count: 2";
    for (setting, echoed) in [("true", true), ("false", false)] {
        let app = App::start(&[("ECHO_ATTEMPTS", setting)]);
        let told = head(&mut app.send_with("/", &format!("{attempts}\r\n")));
        assert_eq!(told.contains(attempts), echoed, "{told}");
        assert!(!app.get("/").contains("attempt"), "nothing to be told");
    }
}

#[test]
fn a_parting_app_says_close_in_each_answer_and_then_drains() {
    let app = App::start(&[("ON_TERM", "drain"), ("PARTING", "2s")]);
    assert!(!app.get("/").contains("connection: close"));
    app.terminate();
    until("the last answers", || {
        let head = app.get("/");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        head.contains("connection: close")
    });
    let (status, log) = app.end();
    assert!(status.success());
    assert!(log.contains("drained"), "{log}");
}

#[test]
fn crash_after_ends_with_3_and_says_so() {
    let app = App::start(&[("CRASH_AFTER", "2")]);
    assert!(app.get("/").starts_with("http/1.1 200"));
    let _last = app.send("/");
    let (status, log) = app.end();
    assert_eq!(status.code(), Some(3));
    assert!(log.contains("fatal: cannot continue"), "{log}");
}

#[test]
fn an_idle_connection_is_closed_after_the_keepalive_timeout() {
    let app = App::start(&[("KEEPALIVE_TIMEOUT", "300ms")]);
    let mut kept = app.send("/");
    assert!(head(&mut kept).starts_with("http/1.1 200"));
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).expect("closed in good order");
}
