//! Which ports are listened on in a network namespace? The kernel's socket diagnosis tells.
//!
//! It is asked through netlink, since a look into `/proc/net/tcp` makes the kernel walk its whole
//! table of connections: 10 ms on some machines, every 10 ms and for each pod.

use crate::lab::net;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Message type SOCK_DIAG_BY_FAMILY, in requests and answers.
const BY_FAMILY: u16 = 20;
/// Message types that end an answer.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Flags NLM_F_REQUEST and NLM_F_DUMP.
const DUMP: u16 = 0x301;
/// The bit of TCP_LISTEN in a mask of states.
const LISTENING: u32 = 1 << 10;
/// A header and an `inet_diag_req_v2`.
const REQUEST: usize = 16 + 56;

/// A way to ask about one network namespace.
#[derive(Debug)]
pub(super) struct Diagnosis {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Diagnosis {
    /// Opens it in a namespace; `None` is the caller's own.
    pub(super) fn open(ns: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let opened = net::in_namespace(ns, || {
            socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkSockDiag,
            )
        });
        Ok(Self {
            socket: opened.map_err(io::Error::other)??,
            buffer: vec![0; 32 << 10],
        })
    }

    /// The ports that are listened on, and by how many sockets each; with an address, only its own.
    pub(super) fn listeners(
        &mut self,
        address: Option<Ipv4Addr>,
    ) -> io::Result<BTreeMap<u16, usize>> {
        let mut found = BTreeMap::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let family = u8::try_from(family as i32).expect("a small number");
            let kernel = NetlinkAddr::new(0, 0);
            sendto(
                self.socket.as_raw_fd(),
                &request(family),
                &kernel,
                MsgFlags::empty(),
            )?;
            loop {
                // The kernel has answered by the time the request was sent.
                let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
                let (ports, more) = answer(&self.buffer[..length], address)?;
                for port in ports {
                    *found.entry(port).or_insert(0) += 1;
                }
                if !more {
                    break;
                }
            }
        }
        Ok(found)
    }
}

/// A request for all TCP sockets of a family that listen.
fn request(family: u8) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    request[..4].copy_from_slice(&72_u32.to_ne_bytes());
    request[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    request[16] = family;
    request[17] = 6; // IPPROTO_TCP
    request[20..24].copy_from_slice(&LISTENING.to_ne_bytes());
    request
}

/// The ports in a datagram, and whether another one follows.
fn answer(mut datagram: &[u8], address: Option<Ipv4Addr>) -> io::Result<(Vec<u16>, bool)> {
    let mut ports = Vec::new();
    while datagram.len() >= 16 {
        let length = u32::from_ne_bytes(datagram[..4].try_into().expect("4 bytes")) as usize;
        if !(16..=datagram.len()).contains(&length) {
            break;
        }
        match u16::from_ne_bytes(datagram[4..6].try_into().expect("2 bytes")) {
            DONE => return Ok((ports, false)),
            ERROR => return Err(io::Error::other("the kernel does not tell of sockets")),
            BY_FAMILY if length >= 16 + 12 => {
                let message = &datagram[16..length];
                let own = Ipv4Addr::new(message[8], message[9], message[10], message[11]);
                if address.is_none_or(|address| address == own) {
                    ports.push(u16::from_be_bytes([message[4], message[5]]));
                }
            }
            _ => {}
        }
        datagram = &datagram[length.next_multiple_of(4).min(datagram.len())..];
    }
    Ok((ports, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_machine_is_found_while_it_is_open() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut diagnosis = Diagnosis::open(None).unwrap();
        let own = Some(Ipv4Addr::LOCALHOST);
        assert_eq!(diagnosis.listeners(own).unwrap().get(&port), Some(&1));
        let other = Some(Ipv4Addr::new(127, 9, 9, 9));
        assert_eq!(diagnosis.listeners(other).unwrap().get(&port), None);
        drop(listener);
        assert_eq!(diagnosis.listeners(own).unwrap().get(&port), None);
    }

    #[test]
    fn an_answer_that_is_cut_or_an_error_is_no_panic() {
        assert_eq!(answer(&[1, 2, 3], None).unwrap(), (Vec::new(), true));
        let mut error = [0; 20];
        error[0] = 20;
        error[4] = 2;
        assert!(answer(&error, None).is_err());
    }
}
