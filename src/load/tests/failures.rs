//! Is each kind of failure seen as what it is?

use super::super::failure::class_of;
use super::server::{Peer, Server, closed_port, header};
use super::{class, config, kept, plan, run, transport};
use crate::evidence::{ConnectionKind, ErrorClass, Outcome, RequestPhase};
use crate::load::{LoadConfig, LoadTarget};
use crate::scenario::RequestClass;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(400);

/// Three requests on new connections to a server that behaves like `serve`.
async fn three(class: RequestClass, serve: fn(Peer)) -> super::Outcomes {
    let server = Server::start(serve);
    let mut plan = plan(50.0, 3);
    plan.requests = vec![class];
    run(config(server.address, plan), 3).await
}

fn patient(timeout: Duration) -> RequestClass {
    RequestClass {
        timeout,
        ..class("main")
    }
}

/// What the server does, the client's patience, and what the failure must be.
type Case = (&'static str, Duration, fn(Peer), &'static str);

#[tokio::test]
async fn each_misbehaviour_gives_its_phase_class_and_errno() {
    let cases: [Case; 9] = [
        (
            "reset before the head",
            super::PATIENCE,
            |mut peer| {
                peer.request();
                peer.reset();
            },
            "WaitHeaders Reset Some(104)",
        ),
        (
            "closed before the head",
            super::PATIENCE,
            |mut peer| {
                peer.request();
            },
            "WaitHeaders Closed None",
        ),
        (
            "closed inside the head",
            super::PATIENCE,
            |mut peer| {
                peer.request();
                peer.say("HTTP/1.1 200 OK\r\ncontent-le");
            },
            "WaitHeaders Closed None",
        ),
        (
            "closed inside the body",
            super::PATIENCE,
            |mut peer| {
                peer.request();
                peer.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
            },
            "Body Closed None",
        ),
        (
            "reset inside the body",
            super::PATIENCE,
            |mut peer| {
                peer.request();
                peer.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
                peer.reset();
            },
            "Body Reset Some(104)",
        ),
        (
            "no head in time",
            SHORT,
            |mut peer| {
                peer.request();
                peer.hang();
            },
            "WaitHeaders Timeout None",
        ),
        (
            "no end of the body in time",
            SHORT,
            |mut peer| {
                peer.request();
                peer.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
                peer.hang();
            },
            "Body Timeout None",
        ),
        (
            "no HTTP",
            super::PATIENCE,
            |mut peer| {
                peer.request();
                peer.say("SSH-2.0-OpenSSH_9.2\r\n\r\n");
                peer.hang();
            },
            "WaitHeaders Protocol None",
        ),
        (
            "a broken chunk",
            super::PATIENCE,
            |mut peer| {
                peer.request();
                peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
                peer.hang();
            },
            "Body Protocol None",
        ),
    ];
    for (what, timeout, serve, expected) in cases {
        let outcomes = three(patient(timeout), serve).await;
        let failures = outcomes.failures();
        assert_eq!(failures.len(), 3, "{what}");
        for failed in failures {
            assert_eq!(transport(failed), expected, "{what}: {failed:?}");
            assert_eq!(failed.connection.kind, ConnectionKind::New, "{what}");
            assert!(failed.sent >= Some(failed.intended), "{what}");
            assert!(failed.connected > failed.sent, "{what}");
            assert!(failed.written >= failed.connected, "{what}");
            assert!(Some(failed.end) >= failed.written, "{what}");
            assert!(failed.local.is_some() && failed.remote.is_some(), "{what}");
            let headless = failed.phase == RequestPhase::WaitHeaders;
            let body = failed.response.body.as_deref();
            // A reset may overtake what was said before it.
            if expected.starts_with("Body C") || expected.starts_with("Body T") {
                assert_eq!(body, Some("half"), "{what}");
            }
            assert!(failed.first_byte.is_some() || headless, "{what}");
        }
        assert_eq!(outcomes.summary.failed, 3, "{what}");
        let counted: u64 = outcomes.counts().iter().map(|count| count.failed).sum();
        assert_eq!(counted, 3, "{what}");
        assert!(
            outcomes.summary.latency.is_empty(),
            "{what}: only answers have a latency"
        );
    }
}

#[tokio::test]
async fn a_refused_connect_keeps_its_errno_and_its_own_port() {
    let outcomes = run(config(closed_port(), plan(50.0, 3)), 3).await;
    for failed in outcomes.failures() {
        assert_eq!(transport(failed), "Connect Refused Some(111)");
        assert_eq!((failed.connected, failed.written), (None, None));
        let local = failed.local.as_deref().expect("its port is known");
        let port = local
            .rsplit(':')
            .next()
            .and_then(|port| port.parse::<u16>().ok());
        assert!(port.is_some_and(|port| port > 0), "{local}");
    }
    assert_eq!(outcomes.failures().len(), 3);
}

/// A listener whose queue is full: the kernel drops further SYNs.
fn full_listener() -> (socket2::Socket, SocketAddr, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        fillers.push(filler);
    }
    (socket, address, fillers)
}

#[tokio::test]
async fn a_connect_without_an_answer_times_out_in_connect() {
    let (_listener, address, _fillers) = full_listener();
    let mut plan = plan(50.0, 3);
    plan.requests = vec![patient(SHORT)];
    let outcomes = run(config(address, plan), 3).await;
    assert_eq!(outcomes.failures().len(), 3);
    for failed in outcomes.failures() {
        assert_eq!(transport(failed), "Connect Timeout None");
        assert_eq!(failed.connected, None);
        assert!(
            (failed.end - SHORT) >= failed.intended,
            "patience counts from the intended time"
        );
        let local = failed.local.as_deref().unwrap_or_default();
        assert!(local.starts_with("127.0.0.1:"), "{local}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_fails_in_resolve() {
    let target = LoadTarget::plain("no such host", 80, "demo");
    let outcomes = run(LoadConfig::new("local", target, plan(50.0, 2)), 2).await;
    let failures = outcomes.failures();
    assert_eq!(failures.len(), 2);
    for failed in failures {
        assert_eq!(failed.phase, RequestPhase::Resolve);
        let Outcome::Transport { class, .. } = &failed.outcome else {
            panic!("{failed:?}");
        };
        assert_eq!(*class, ErrorClass::Resolve);
        assert_eq!(failed.remote, None);
    }
}

#[tokio::test]
async fn a_name_that_resolves_is_connected_to() {
    let server = Server::start(|mut peer| {
        peer.request();
        peer.answer("hello");
    });
    let target = LoadTarget::plain("localhost", server.address.port(), "demo");
    let outcomes = run(LoadConfig::new("local", target, plan(50.0, 1)), 1).await;
    // Where `localhost` is `::1` as well, that attempt is refused: no second address is tried.
    for failed in outcomes.failures() {
        assert_eq!(transport(failed), "Connect Refused Some(111)");
        assert!(
            failed
                .remote
                .as_deref()
                .is_some_and(|remote| remote.starts_with("[::1]"))
        );
    }
    assert_eq!(outcomes.summary.sent, 1);
}

#[tokio::test]
async fn a_reset_while_the_request_is_written_fails_in_send() {
    let mut upload = patient(super::PATIENCE);
    upload.method = "POST".to_owned();
    upload.body = Some("x".repeat(16 << 20));
    let outcomes = three(upload, |mut peer| {
        peer.request();
        peer.reset();
    })
    .await;
    assert_eq!(outcomes.failures().len(), 3);
    for failed in outcomes.failures() {
        assert_eq!(failed.phase, RequestPhase::Send, "{failed:?}");
        let Outcome::Transport { class, errno, .. } = &failed.outcome else {
            panic!("{failed:?}");
        };
        assert_eq!(*class, ErrorClass::Reset);
        assert!(matches!(errno, Some(104 | 32)), "{errno:?}");
        assert_eq!(failed.written, None);
    }
}

#[tokio::test]
async fn an_unexpected_status_keeps_what_the_answer_tells() {
    let long = "upstream connect error or disconnect/reset before headers. ".repeat(10);
    let server = Server::start(move |mut peer| {
        while peer.request().is_some() {
            let length = long.len();
            peer.say(&format!(
                "HTTP/1.1 503 Service Unavailable\r\nserver: istio-envoy\r\nx-pod-name: pod-b\r\n\
                 x-envoy-upstream-service-time: 7\r\ncontent-length: {length}\r\n\r\n{long}"
            ));
        }
    });
    let outcomes = run(config(server.address, kept(plan(50.0, 4), 4)), 4).await;
    let failures = outcomes.failures();
    assert_eq!(failures.len(), 4);
    for failed in &failures {
        assert_eq!(
            failed.outcome,
            Outcome::Status {
                code: 503,
                grpc: None
            }
        );
        assert_eq!(failed.phase, RequestPhase::Body);
        assert_eq!(failed.response.server.as_deref(), Some("istio-envoy"));
        assert_eq!(failed.response.pod.as_deref(), Some("pod-b"));
        assert_eq!(failed.response.envoy["x-envoy-upstream-service-time"], "7");
        assert_eq!(failed.response.body.as_ref().map(String::len), Some(256));
        assert!(failed.first_byte.is_some());
    }
    assert!(
        outcomes
            .counts()
            .iter()
            .all(|count| count.pod.as_deref() == Some("pod-b"))
    );
    assert_eq!(
        outcomes
            .summary
            .latency
            .iter()
            .map(|one| one.count)
            .sum::<u64>(),
        4
    );
}

#[tokio::test]
async fn a_grpc_status_and_an_unexpected_body_are_failures_of_an_answer_of_200() {
    let mut grpc = class("main");
    grpc.path = "/grpc".to_owned();
    let outcomes = three(grpc, |mut peer| {
        peer.request();
        peer.say("HTTP/1.1 200 OK\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n");
    })
    .await;
    for failed in outcomes.failures() {
        assert_eq!(
            failed.outcome,
            Outcome::Status {
                code: 200,
                grpc: Some(14)
            }
        );
    }
    assert_eq!(outcomes.failures().len(), 3);
    let mut picky = class("main");
    picky.expect_body = Some("^order [0-9]+ accepted$".to_owned());
    let outcomes = three(picky.clone(), |mut peer| {
        peer.request();
        peer.answer("order nil accepted");
    })
    .await;
    for failed in outcomes.failures() {
        assert_eq!(failed.outcome, Outcome::UnexpectedBody { code: 200 });
        assert_eq!(failed.response.body.as_deref(), Some("order nil accepted"));
    }
    assert_eq!(outcomes.failures().len(), 3);
    let outcomes = three(picky, |mut peer| {
        peer.request();
        peer.answer("order 17 accepted");
    })
    .await;
    assert_eq!(outcomes.summary.ok, 3);
}

#[tokio::test]
async fn what_is_sent_is_what_the_class_says_and_carries_the_id() {
    let server = Server::start(|mut peer| {
        peer.request();
        peer.answer("");
    });
    let mut order = class("order");
    order.method = "POST".to_owned();
    order.path = "/orders?shop=1".to_owned();
    order.body = Some("{\"n\":1}".to_owned());
    order.id_in_query = true;
    order.headers = [("X-Team", "shop"), ("Host", "shop.example")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    order.expect_status = vec![201];
    let mut plan = plan(50.0, 1);
    plan.requests = vec![order];
    let outcomes = run(config(server.address, plan), 1).await;
    let failed = outcomes.failures()[0].clone();
    let head = server.requests().remove(0);
    let id = header(&head, "x-request-id").expect("it has an id");
    assert_eq!(id, failed.request_id);
    assert_eq!(header(&head, "x-lastwatch-id"), Some(id));
    assert_eq!(failed.path, format!("/orders?shop=1&lastwatch-id={id}"));
    assert!(
        head.starts_with(&format!("POST {} HTTP/1.1\r\n", failed.path)),
        "{head}"
    );
    assert_eq!(header(&head, "host"), Some("shop.example"));
    assert_eq!(header(&head, "x-team"), Some("shop"));
    assert_eq!(header(&head, "connection"), Some("close"));
    assert_eq!(header(&head, "content-length"), Some("7"));
}

#[test]
fn every_errno_has_its_class() {
    use nix::errno::Errno;
    for (errno, class) in [
        (Errno::ECONNREFUSED, ErrorClass::Refused),
        (Errno::ECONNRESET, ErrorClass::Reset),
        (Errno::EPIPE, ErrorClass::Reset),
        (Errno::ECONNABORTED, ErrorClass::Reset),
        (Errno::ETIMEDOUT, ErrorClass::Timeout),
        (Errno::EHOSTUNREACH, ErrorClass::Unreachable),
        (Errno::ENETUNREACH, ErrorClass::Unreachable),
        (Errno::EADDRNOTAVAIL, ErrorClass::LocalLimit),
        (Errno::EMFILE, ErrorClass::LocalLimit),
        (Errno::ENFILE, ErrorClass::LocalLimit),
        (Errno::ENOBUFS, ErrorClass::LocalLimit),
        (Errno::EPERM, ErrorClass::Other),
    ] {
        assert_eq!(class_of(errno as i32), class, "{errno}");
    }
}
