//! Is an `https` target asked as well as a plain one?

use super::super::carry::{Carried, Hold, Trace, Way, attempt};
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

/// One request to `address` by a client that trusts `roots`.
async fn ask(address: SocketAddr, roots: RootCertStore) -> (Trace, Carried) {
    let config = config(address, plan(1.0, 1));
    let (sink, _fact_rx) = EventSink::new(RunClock::start());
    let mut common = Common::new(&config, sink).expect("it is valid");
    common.dialer = common
        .dialer
        .trusting(connector_with(roots).expect("roots"));
    let lane = Lane::new(Arc::new(common), &config, 0, 1);
    let (mut trace, mut hold) = (Trace::new(), Hold::default());
    let class = &lane.classes[0];
    let carried = attempt(&lane, class, lane.new_id(), Way::Own, &mut trace, &mut hold).await;
    (trace, carried)
}

#[tokio::test]
async fn a_trusted_server_is_asked_over_tls() {
    let (address, certificate) = server().await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let (trace, carried) = ask(address, roots).await;
    assert!(matches!(carried, Carried::Answered));
    assert_eq!(trace.answer.expect("it came").body, b"hello");
}

#[tokio::test]
async fn a_server_that_is_not_trusted_fails_in_tls() {
    let (address, _) = server().await;
    let (_, other) = server().await;
    let mut roots = RootCertStore::empty();
    roots.add(other).expect("a certificate");
    let (trace, carried) = ask(address, roots).await;
    let Carried::Broken(broken) = carried else {
        panic!("it was answered");
    };
    assert_eq!(broken.phase, RequestPhase::Tls);
    assert_eq!(broken.class, ErrorClass::Protocol, "{}", broken.text);
    assert!(trace.connected.is_some());
}
