//! Is an `https` target asked as well as a plain one?

use super::super::carry::{Carried, Hold, Trace, Way, attempt};
use super::super::exchange::{Link, Unanswered};
use super::super::lane::{Common, Lane};
use super::super::tls::connector_with;
use super::{config, plan};
use crate::evidence::{ErrorClass, EventSink, RequestPhase, RunClock};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

/// A server that answers one request a connection over TLS, and its certificate.
async fn server() -> (SocketAddr, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut head = vec![0; 4096];
                let _ = stream.read(&mut head).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, cert.der().clone())
}

/// A client of `address` that trusts `certificate`.
fn client(address: SocketAddr, certificate: CertificateDer<'static>) -> Lane {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let config = config(address, plan(1.0, 1));
    let (sink, _fact_rx) = EventSink::new(RunClock::start());
    let mut common = Common::new(&config, sink).expect("it is valid");
    let connector = connector_with(roots).expect("roots");
    common.dialer = common.dialer.trusting(connector);
    Lane::new(Arc::new(common), &config, 0, 1)
}

/// One request on a connection of its own.
async fn ask(lane: &Lane) -> (Trace, Carried) {
    let (mut trace, mut hold) = (Trace::new(), Hold::default());
    let class = &lane.classes[0];
    let carried = attempt(lane, class, lane.new_id(), Way::Own, &mut trace, &mut hold).await;
    (trace, carried)
}

#[tokio::test]
async fn a_trusted_server_is_asked_over_tls() {
    let (address, certificate) = server().await;
    let (trace, carried) = ask(&client(address, certificate)).await;
    assert!(matches!(carried, Carried::Answered));
    assert_eq!(trace.answer.expect("it came").body, b"hello");
}

#[tokio::test]
async fn a_server_that_is_not_trusted_fails_in_tls() {
    let (address, _) = server().await;
    let (_, other) = server().await;
    let (trace, carried) = ask(&client(address, other)).await;
    let Carried::Broken(broken) = carried else {
        panic!("it was answered");
    };
    assert_eq!(broken.phase, RequestPhase::Tls);
    assert_eq!(broken.class, ErrorClass::Protocol, "{}", broken.text);
    assert!(trace.connected.is_some());
}

#[tokio::test]
async fn a_kept_tls_connection_whose_close_has_arrived_is_not_used_again() {
    let (address, certificate) = server().await;
    let lane = client(address, certificate);
    let mut trace = Trace::new();
    let stream = lane.dialer.dial(&mut trace).await.expect("it connects");
    let mut link = Link::over(stream, 0, &trace).await.expect("it opens");
    let class = &lane.classes[0];
    let first = link.exchange(class, lane.new_id(), false, &mut trace).await;
    assert!(first.is_ok());
    // The server has said its farewell once this other connection, made later, is answered.
    let (_, other) = ask(&lane).await;
    assert!(matches!(other, Carried::Answered));
    let second = link.exchange(class, lane.new_id(), false, &mut trace).await;
    assert!(matches!(second, Err(Unanswered::Unused)));
}
