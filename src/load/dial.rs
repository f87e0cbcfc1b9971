//! How does a connection come about, and how far did it get?
//!
//! The socket is made by hand so that its own port is known also when the connect fails: that port
//! is what the other side's records know the attempt by. A name is looked up for each connection;
//! of several addresses the connections take turns, and no second one is tried.

use super::carry::Trace;
use super::config::LoadTarget;
use super::error::Error;
use super::failure::Broken;
use super::tls;
use super::wire::Stream;
use crate::evidence::RequestPhase;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Makes connections to one target.
pub(super) struct Dialer {
    host: String,
    port: u16,
    address: Option<SocketAddr>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    turn: AtomicUsize,
}

impl Dialer {
    pub(super) fn new(target: &LoadTarget) -> Result<Self, Error> {
        let tls = if target.tls {
            Some((tls::connector()?, tls::server_name(&target.host)?))
        } else {
            None
        };
        Ok(Self {
            host: target.host.clone(),
            port: target.port,
            address: target.address(),
            tls,
            turn: AtomicUsize::new(0),
        })
    }

    #[cfg(test)]
    pub(super) fn trusting(mut self, connector: TlsConnector) -> Self {
        let name = tls::server_name(&self.host).expect("a host");
        self.tls = Some((connector, name));
        self
    }

    /// Connects; the trace says how far it came.
    pub(super) async fn dial(&self, trace: &mut Trace) -> Result<Stream, Broken> {
        let address = match self.address {
            Some(address) => address,
            None => {
                trace.phase = RequestPhase::Resolve;
                self.resolve()
                    .await
                    .map_err(|error| Broken::resolve(&error))?
            }
        };
        trace.phase = RequestPhase::Connect;
        trace.remote = Some(address);
        let stream = connect(address, trace)
            .await
            .map_err(|error| Broken::from_io(RequestPhase::Connect, &error))?;
        trace.connected = Some(Instant::now());
        let Some((connector, name)) = &self.tls else {
            return Ok(Stream::Plain(stream));
        };
        trace.phase = RequestPhase::Tls;
        let stream = connector
            .connect(name.clone(), stream)
            .await
            .map_err(|error| Broken::from_io(RequestPhase::Tls, &error))?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    async fn resolve(&self) -> io::Result<SocketAddr> {
        let found: Vec<SocketAddr> = lookup_host((self.host.as_str(), self.port))
            .await?
            .collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Ok(found[turn % found.len()])
    }
}

async fn connect(address: SocketAddr, trace: &mut Trace) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    let begun = socket.connect(&address.into());
    trace.local = socket.local_addr().ok().and_then(|local| local.as_socket());
    match begun {
        Ok(()) => {}
        Err(error) if in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match SockRef::from(&stream).take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

/// What a nonblocking connect says when it has only begun.
fn in_progress(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    const EINPROGRESS: i32 = nix::errno::Errno::EINPROGRESS as i32;
    #[cfg(not(target_os = "linux"))]
    const EINPROGRESS: i32 = 36;
    error.raw_os_error() == Some(EINPROGRESS) || error.kind() == io::ErrorKind::WouldBlock
}
