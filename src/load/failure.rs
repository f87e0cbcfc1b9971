//! Why did a transport fail, by errno and by the state of the connection?

use super::wire::{End, Seen};
use crate::evidence::{ErrorClass, Outcome, RequestPhase};
use std::error::Error as StdError;
use std::io;

/// A request that got no complete answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) phase: RequestPhase,
    pub(super) class: ErrorClass,
    pub(super) errno: Option<i32>,
    pub(super) text: String,
}

impl Broken {
    /// The client's patience ended in `phase`.
    pub(super) fn timeout(phase: RequestPhase) -> Self {
        Self {
            phase,
            class: ErrorClass::Timeout,
            errno: None,
            text: "the client's patience ended".to_owned(),
        }
    }

    /// A failed call on a socket, before any HTTP.
    pub(super) fn from_io(phase: RequestPhase, error: &io::Error) -> Self {
        let errno = errno_of(error);
        let class = match (errno, error.kind()) {
            (Some(errno), _) => class_of(errno),
            (None, io::ErrorKind::UnexpectedEof) => ErrorClass::Closed,
            (None, io::ErrorKind::InvalidData) => ErrorClass::Protocol,
            (None, _) => ErrorClass::Other,
        };
        Self {
            phase,
            class,
            errno,
            text: words(error),
        }
    }

    /// A name that gave no address.
    pub(super) fn resolve(error: &io::Error) -> Self {
        Self {
            phase: RequestPhase::Resolve,
            class: ErrorClass::Resolve,
            errno: errno_of(error),
            text: words(error),
        }
    }

    /// A failed exchange: what the transport did counts, then what the library found.
    pub(super) fn from_exchange(phase: RequestPhase, seen: &Seen, error: &hyper::Error) -> Self {
        let (class, errno) = match seen.end {
            Some(End::Errno(errno)) => (class_of(errno), Some(errno)),
            _ if error.is_parse() || error.is_parse_too_large() => (ErrorClass::Protocol, None),
            Some(End::Closed) => (ErrorClass::Closed, None),
            Some(End::Invalid) => (ErrorClass::Protocol, None),
            None if malformed(error) => (ErrorClass::Protocol, None),
            None => (ErrorClass::Other, None),
        };
        Self {
            phase,
            class,
            errno,
            text: words(error),
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        Outcome::Transport {
            class: self.class,
            errno: self.errno,
            text: self.text,
        }
    }
}

/// The first errno down the chain of causes.
fn errno_of(error: &io::Error) -> Option<i32> {
    if let Some(errno) = error.raw_os_error() {
        return Some(errno);
    }
    let mut cause: Option<&(dyn StdError + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(error) = cause {
        let errno = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        if errno.is_some() {
            return errno;
        }
        cause = error.source();
    }
    None
}

/// The library gave up on bytes that did come: a bad chunk size, a bad length.
fn malformed(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            );
        }
        cause = error.source();
    }
    false
}

/// An error and its causes in one line.
fn words(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The class of an errno.
pub(super) fn class_of(errno: i32) -> ErrorClass {
    match io::Error::from_raw_os_error(errno).kind() {
        io::ErrorKind::ConnectionRefused => ErrorClass::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted => ErrorClass::Reset,
        io::ErrorKind::TimedOut => ErrorClass::Timeout,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => ErrorClass::Unreachable,
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse | io::ErrorKind::OutOfMemory => {
            ErrorClass::LocalLimit
        }
        _ if is_local_limit(errno) => ErrorClass::LocalLimit,
        _ => ErrorClass::Other,
    }
}

/// EMFILE, ENFILE, ENOBUFS: `std` has no kinds for them.
#[cfg(target_os = "linux")]
fn is_local_limit(errno: i32) -> bool {
    use nix::errno::Errno;
    [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS].contains(&Errno::from_raw(errno))
}

#[cfg(not(target_os = "linux"))]
fn is_local_limit(errno: i32) -> bool {
    // ENFILE and EMFILE have these numbers on every Unix; ENOBUFS is 55 on the BSDs and macOS.
    [23, 24, 55].contains(&errno)
}
