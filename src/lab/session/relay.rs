//! How is the API server reached from outside the lab's network?

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Inside: passes what comes over a socket file, which a network namespace does not hide, to the
/// API server.
pub(super) async fn inside(socket: &Path, api: SocketAddr) -> std::io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    loop {
        let (mut outer, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Ok(mut inner) = TcpStream::connect(api).await {
                let _ = inner.set_nodelay(true);
                // Either side may break the conversation off.
                let _ = copy_bidirectional(&mut outer, &mut inner).await;
            }
        });
    }
}

/// Outside: passes what comes to `listener` to the socket file.
pub(super) async fn outside(listener: TcpListener, socket: PathBuf) -> std::io::Result<()> {
    loop {
        let (mut client, _) = listener.accept().await?;
        let _ = client.set_nodelay(true);
        let socket = socket.clone();
        tokio::spawn(async move {
            if let Ok(mut inner) = UnixStream::connect(socket).await {
                let _ = copy_bidirectional(&mut client, &mut inner).await;
            }
        });
    }
}
