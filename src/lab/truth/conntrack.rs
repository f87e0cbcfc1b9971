//! Which pod was each connection sent to? The kernel's connection tracking tells.

use super::{Fact, Truth};
use crate::lab::net;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket, sockopt,
};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

/// Multicast group 1 of nfnetlink: new connections.
const NEW_CONNECTIONS: u32 = 1;
/// Message type: subsystem conntrack (1), message NEW (0).
const CONNTRACK_NEW: u16 = 0x100;
/// Room for bursts: the kernel needs about 500 bytes for an event, so some 16,000 of them.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Writes down each new TCP connection that passes a node's network namespace, until `stop`.
pub(crate) async fn follow_connections(
    truth: Truth,
    events: AsyncFd<OwnedFd>,
    stop: CancellationToken,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut ready = tokio::select! {
            () = stop.cancelled() => return,
            ready = events.readable() => match ready {
                Ok(ready) => ready,
                Err(_) => return,
            },
        };
        let received = ready.try_io(|fd| {
            recv(fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from)
        });
        match received {
            Ok(Ok(length)) => {
                for connection in connections(&buffer[..length]) {
                    truth.tell(connection);
                }
            }
            Ok(Err(error)) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                tracing::warn!("connection tracking was faster than the lab's truth");
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "connection tracking is not followed any more");
                return;
            }
            Err(_would_block) => {}
        }
    }
}

/// Subscribes to the connections of a node. `None` is the caller's own network namespace.
pub(crate) fn subscribe(node: Option<BorrowedFd<'_>>) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = net::in_namespace(node, || -> io::Result<OwnedFd> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkNetFilter,
        )?;
        // Beyond the usual limit where we may, up to it where not.
        if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        }
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, NEW_CONNECTIONS))?;
        Ok(fd)
    })
    .map_err(io::Error::other)??;
    #[expect(
        unsafe_code,
        reason = "the registration owns the descriptor and gives it to nobody"
    )]
    let registered = unsafe { AsyncFd::register(fd) };
    Ok(registered?)
}

/// The new TCP connections in a datagram of netlink messages.
fn connections(mut datagram: &[u8]) -> Vec<Fact> {
    let mut found = Vec::new();
    while datagram.len() >= 16 {
        let length = u32::from_ne_bytes(datagram[..4].try_into().expect("4 bytes")) as usize;
        if !(16..=datagram.len()).contains(&length) {
            break;
        }
        let kind = u16::from_ne_bytes(datagram[4..6].try_into().expect("2 bytes"));
        if kind == CONNTRACK_NEW && length > 20 {
            found.extend(connection(&datagram[20..length]));
        }
        datagram = &datagram[length.next_multiple_of(4).min(datagram.len())..];
    }
    found
}

fn connection(message: &[u8]) -> Option<Fact> {
    let (from, to) = tuple(attribute(message, 1)?)?;
    let (chosen, _) = tuple(attribute(message, 2)?)?;
    Some(Fact::Connection { from, to, chosen })
}

/// Source and destination of a TCP tuple.
fn tuple(tuple: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4)> {
    let (ip, proto) = (attribute(tuple, 1)?, attribute(tuple, 2)?);
    if attribute(proto, 1)? != [6] {
        return None;
    }
    let address = |kind| -> Option<Ipv4Addr> {
        let octets: [u8; 4] = attribute(ip, kind)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    let port = |kind| -> Option<u16> {
        let bytes: [u8; 2] = attribute(proto, kind)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    };
    Some((
        SocketAddrV4::new(address(1)?, port(2)?),
        SocketAddrV4::new(address(2)?, port(3)?),
    ))
}

/// The payload of the first attribute of this kind.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while attributes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes(attributes[..2].try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes[2..4].try_into().ok()?) & 0x3fff;
        let payload = attributes.get(4..length)?;
        if kind == wanted {
            return Some(payload);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len() + 4).unwrap();
        let mut bytes = Vec::from(length.to_ne_bytes());
        bytes.extend((kind | 0x8000).to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn side(from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
        let ip = [nested(1, &from.ip().octets()), nested(2, &to.ip().octets())];
        let proto = [
            nested(1, &[6]),
            nested(2, &from.port().to_be_bytes()),
            nested(3, &to.port().to_be_bytes()),
        ];
        [nested(1, &ip.concat()), nested(2, &proto.concat())].concat()
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(20 + body.len()).unwrap();
        let mut bytes = Vec::from(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(20, 0);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn the_reply_tuple_names_the_chosen_pod() {
        let at = |text: &str| text.parse::<SocketAddrV4>().unwrap();
        let (from, to) = (at("172.18.0.2:40000"), at("10.96.0.10:80"));
        let chosen = at("10.244.1.7:8080");
        let body = [nested(1, &side(from, to)), nested(2, &side(chosen, from))];
        let new = message(CONNTRACK_NEW, &body.concat());
        let other = message(0x102, &body.concat());
        let found = connections(&[other, new].concat());
        assert_eq!(found, [Fact::Connection { from, to, chosen }]);
    }

    #[test]
    fn a_cut_datagram_gives_what_is_whole() {
        assert!(connections(&[1, 2, 3]).is_empty());
        assert!(connections(&message(CONNTRACK_NEW, &[200, 0, 1, 0])).is_empty());
        assert!(attribute(&[3, 0, 1, 0], 1).is_none());
        assert!(attribute(&[0, 0, 2, 0, 0, 0, 2, 0], 1).is_none());
    }
}
