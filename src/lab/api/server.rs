//! How does the API server listen, and how does it go away and come back?

use super::Api;
use super::tls::Identity;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A listening API server.
pub struct Server {
    api: Arc<Api>,
    listener: TcpListener,
    address: SocketAddr,
    outages: watch::Receiver<Option<tokio::time::Instant>>,
    identity: Arc<Identity>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the port (port 0: any).
    pub async fn bind(api: Arc<Api>, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        // From now on: an outage may come before the first request.
        let outages = api.faults.outages();
        Ok(Self {
            api,
            listener,
            address,
            outages,
            identity: Arc::new(Identity::new(address.ip())?),
        })
    }

    /// The certificate that clients must trust, in PEM; [`super::kubeconfig`] packs it.
    pub fn certificate(&self) -> String {
        self.identity.certificate.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the token is cancelled. An outage closes the port and every connection, and
    /// opens the same port again when it is over.
    pub async fn run(self, token: CancellationToken) -> io::Result<()> {
        let mut listener = self.listener;
        let mut outages = self.outages;
        loop {
            let until = tokio::select! {
                () = token.cancelled() => return Ok(()),
                changed = outages.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    *outages.borrow_and_update()
                }
                () = serve(&self.api, &self.identity, listener) => None,
            };
            // The listener and every connection were dropped with the future above.
            if let Some(until) = until {
                tokio::select! {
                    () = token.cancelled() => return Ok(()),
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            listener = reopen(self.address).await?;
        }
    }
}

async fn serve(api: &Arc<Api>, identity: &Arc<Identity>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(api), Arc::clone(identity), stream));
                }
                // Out of file handles, or a client that is gone already: the next may do.
                Err(error) => {
                    tracing::warn!(%error, "the lab's API server could not accept");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a request broke the lab's API server");
                }
            }
        }
    }
}

/// The first byte of a TLS handshake; no HTTP request begins with it.
const HANDSHAKE: u8 = 0x16;

async fn connection(api: Arc<Api>, identity: Arc<Identity>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    let secure = match stream.peek(&mut first).await {
        Ok(1) => first[0] == HANDSHAKE,
        // Opened and closed again: a probe of the port.
        _ => return,
    };
    let ended = if secure {
        match identity.acceptor.accept(stream).await {
            Ok(stream) => requests(api, stream).await,
            Err(error) => {
                tracing::debug!(%error, "a client of the lab's API server gave up its handshake");
                return;
            }
        }
    } else {
        requests(api, stream).await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the lab's API server ended");
    }
}

async fn requests(
    api: Arc<Api>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<(), hyper::Error> {
    let service = hyper::service::service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, std::convert::Infallible>(api.answer(request).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
        .await
}

/// The old connections may still hold the port for a moment.
async fn reopen(address: SocketAddr) -> io::Result<TcpListener> {
    let mut last = None;
    for _ in 0..100 {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(last.unwrap_or_else(|| io::Error::other("the port did not open again")))
}
