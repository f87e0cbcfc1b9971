//! How does a Service lead to a pod where namespaces are not permitted?
//!
//! In loopback mode pods listen on addresses of their own in 127.0.0.0/8 and a Service is a small
//! TCP relay in the lab. What this mode cannot show: a connection that a pod refuses was accepted
//! by the relay already and arrives as a reset, and nothing that is sent to a pod that is gone
//! vanishes. A Service without endpoints refuses as it should: its listener is closed.

use super::net;
use super::proxy::{Routes, ServicePort};
use super::truth::{Fact, Truth};
use socket2::SockRef;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How many labs can be on one machine.
const BLOCKS: u8 = 32;

/// Nobody else listens on this port of a block's first address: it says that the block is taken.
const CLAIM_PORT: u16 = 47_311;

/// Addresses of this machine that are one lab's alone, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Block {
    number: u8,
    next_pod: AtomicU32,
    _claim: std::net::TcpListener,
}

impl Block {
    /// Takes the first block that no other lab has.
    pub(crate) fn claim() -> io::Result<Self> {
        let mut last = None;
        for number in 0..BLOCKS {
            match std::net::TcpListener::bind((service_block(number, 0), CLAIM_PORT)) {
                Ok(claim) => {
                    return Ok(Self {
                        number,
                        next_pod: AtomicU32::new(0),
                        _claim: claim,
                    });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("there is at least one block"))
    }

    /// A Service's address, by its number.
    pub(crate) fn service_address(&self, number: u16) -> Ipv4Addr {
        service_block(self.number, number.saturating_add(16))
    }

    /// The next pod's address.
    pub(crate) fn pod_address(&self) -> Ipv4Addr {
        let number = self.next_pod.fetch_add(1, Ordering::Relaxed) % 60_000 + 2;
        let [high, low] = u16::try_from(number).expect("below 65536").to_be_bytes();
        Ipv4Addr::new(127, 160 + self.number, high, low)
    }
}

fn service_block(block: u8, number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 96 + block, high, low)
}

/// By how much a Service's port is moved where it may not be listened on: 80 becomes 8080.
pub(crate) const MOVED_BY: u16 = 8_000;

/// Ports below this need a right that a plain user, or a container without capabilities, lacks.
const PRIVILEGED: u16 = 1_024;

/// The port of a Service in loopback mode: its own, where this process may listen there.
pub(crate) fn service_port(port: u16) -> u16 {
    if port < PRIVILEGED && !may_listen(port) {
        port + MOVED_BY
    } else {
        port
    }
}

/// Whether the kernel lets this process listen on a port.
pub(crate) fn may_listen(port: u16) -> bool {
    let attempt = std::net::TcpListener::bind((service_block(0, 1), port));
    attempt
        .err()
        .is_none_or(|error| error.kind() != io::ErrorKind::PermissionDenied)
}

type Endpoints = Arc<RwLock<Vec<SocketAddrV4>>>;

/// The relays of all Services.
#[derive(Debug)]
pub(crate) struct Relay {
    truth: Truth,
    runtime: tokio::runtime::Handle,
    listening: BTreeMap<ServicePort, (Endpoints, JoinHandle<()>)>,
}

impl Relay {
    /// Relays that run on the caller's runtime.
    pub(crate) fn new(truth: Truth) -> Self {
        Self {
            truth,
            runtime: tokio::runtime::Handle::current(),
            listening: BTreeMap::new(),
        }
    }

    /// Makes these the routes. Connections that are established keep their endpoint.
    pub(crate) fn install(&mut self, routes: &Routes) -> Result<(), net::Error> {
        self.listening.retain(|port, (_, task)| {
            let stays = routes
                .get(port)
                .is_some_and(|endpoints| !endpoints.is_empty());
            if !stays {
                task.abort();
            }
            stays
        });
        for (port, endpoints) in routes {
            if endpoints.is_empty() || !port.address.ip().is_loopback() {
                continue;
            }
            if let Some((known, _)) = self.listening.get(port) {
                known
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone_from(endpoints);
            } else {
                let listening = self.listen(port, endpoints)?;
                self.listening.insert(port.clone(), listening);
            }
        }
        Ok(())
    }

    fn listen(
        &self,
        port: &ServicePort,
        endpoints: &[SocketAddrV4],
    ) -> Result<(Endpoints, JoinHandle<()>), net::Error> {
        let failed = |source| net::Error::Listen {
            service: port.id.clone(),
            address: port.address,
            source,
        };
        let _inside = self.runtime.enter();
        let listener = bind(port.address).map_err(failed)?;
        let endpoints: Endpoints = Arc::new(RwLock::new(endpoints.to_vec()));
        let task = serve(
            listener,
            port.address,
            Arc::clone(&endpoints),
            self.truth.clone(),
        );
        Ok((endpoints, self.runtime.spawn(task)))
    }
}

/// Opens a listener; the one before it on this address may need a moment to close.
fn bind(address: SocketAddrV4) -> io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        match std::net::TcpListener::bind(address) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return TcpListener::from_std(listener);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < 50 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
}

async fn serve(listener: TcpListener, to: SocketAddrV4, endpoints: Endpoints, truth: Truth) {
    loop {
        let Ok((client, SocketAddr::V4(from))) = listener.accept().await else {
            // Out of files: leave the others time to end.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let chosen = {
            let endpoints = endpoints.read().unwrap_or_else(PoisonError::into_inner);
            if endpoints.is_empty() {
                continue;
            }
            endpoints[rand::random_range(0..endpoints.len())]
        };
        truth.tell(Fact::Connection { from, to, chosen });
        tokio::spawn(relay(client, chosen));
    }
}

async fn relay(mut client: TcpStream, chosen: SocketAddrV4) {
    let _ = client.set_nodelay(true);
    let relayed = match TcpStream::connect(chosen).await {
        Ok(mut server) => {
            let _ = server.set_nodelay(true);
            copy_bidirectional(&mut client, &mut server).await
        }
        Err(error) => Err(error),
    };
    if relayed.is_err() {
        // What broke there breaks here: a close without data would look like an orderly end.
        let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn routes(to: SocketAddrV4, endpoints: &[SocketAddrV4]) -> Routes {
        let port = ServicePort {
            id: "default/demo:80".to_owned(),
            address: to,
        };
        Routes::from([(port, endpoints.to_vec())])
    }

    #[test]
    fn labs_beside_each_other_have_addresses_of_their_own() {
        let (one, other) = (Block::claim().expect("free"), Block::claim().expect("free"));
        assert_ne!(one.service_address(0), other.service_address(0));
        let pods = [one.pod_address(), one.pod_address(), other.pod_address()];
        assert!(
            pods[0] != pods[1] && pods[1].octets()[1] != pods[2].octets()[1],
            "{pods:?}"
        );
        assert!(pods.iter().all(Ipv4Addr::is_loopback));
    }

    async fn install(mut relay: Relay, routes: Routes) -> Relay {
        tokio::task::spawn_blocking(move || {
            relay.install(&routes).expect("installed");
            relay
        })
        .await
        .expect("no panic")
    }

    #[tokio::test]
    async fn a_service_leads_to_its_endpoint_resets_what_that_refuses_and_refuses_without_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let truth = Truth::create(&folder.path().join("truth.jsonl")).expect("a file");
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let Ok(SocketAddr::V4(endpoint)) = server.local_addr() else {
            panic!("an address of version 4");
        };
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let Ok(SocketAddr::V4(address)) = free.local_addr() else {
            panic!("an address of version 4");
        };
        drop(free);
        let relay = install(Relay::new(truth), routes(address, &[endpoint])).await;
        let mut client = TcpStream::connect(address).await.expect("accepted");
        client.write_all(b"ping").await.expect("sent");
        let (mut accepted, _) = server.accept().await.expect("relayed");
        let mut seen = [0; 4];
        accepted.read_exact(&mut seen).await.expect("read");
        assert_eq!(&seen, b"ping");
        drop(server);
        let mut refused = TcpStream::connect(address)
            .await
            .expect("accepted by the relay");
        let error = refused
            .read(&mut seen)
            .await
            .expect_err("the endpoint refused");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let _relay = install(relay, routes(address, &[])).await;
        crate::task::wait_until(
            "refused",
            Duration::from_secs(10),
            Duration::from_millis(10),
            || async {
                // A connection that waited in the queue of the closing listener is reset.
                match TcpStream::connect(address).await {
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await
        .expect("the listener closes");
        accepted
            .write_all(b"pong")
            .await
            .expect("an established connection lives on");
        client.read_exact(&mut seen).await.expect("read");
        assert_eq!(&seen, b"pong");
    }
}
