//! The truth of one pod, record by record, for tests of what is made of it.

use crate::lab::truth::{Fact, Record};

/// When the stories begin, in epoch nanoseconds.
pub(super) const START: i64 = 1_000_000_000_000;

/// Whom they are about.
pub(super) const POD: &str = "demo-1-a";

/// Milliseconds of a story, in epoch nanoseconds.
pub(super) fn at(millis: i64) -> i64 {
    START + millis * 1_000_000
}

pub(super) fn told(t: i64, fact: Fact) -> Record {
    Record { t: at(t), fact }
}

fn name() -> String {
    POD.to_owned()
}

fn uid() -> String {
    "u".to_owned()
}

/// The pod has the address 10.244.0.3.
pub(super) fn born(t: i64) -> Record {
    let fact = Fact::Pod {
        pod: name(),
        uid: uid(),
        address: "10.244.0.3".to_owned(),
    };
    told(t, fact)
}

pub(super) fn started(t: i64, container: &str) -> Record {
    let fact = Fact::Started {
        pod: name(),
        uid: uid(),
        container: container.to_owned(),
        pid: 1,
    };
    told(t, fact)
}

/// So many sockets listen on the app's port.
pub(super) fn listen(t: i64, sockets: usize) -> Record {
    listen_on(t, 8080, sockets)
}

pub(super) fn listen_on(t: i64, port: u16, sockets: usize) -> Record {
    let fact = Fact::Listen {
        pod: name(),
        uid: uid(),
        port,
        sockets,
    };
    told(t, fact)
}

pub(super) fn deleting(t: i64) -> Record {
    let fact = Fact::Deleting {
        pod: name(),
        uid: uid(),
        grace: 30,
    };
    told(t, fact)
}

/// The app got a signal.
pub(super) fn signal(t: i64, signal: &str, handled: bool) -> Record {
    let fact = Fact::Signal {
        pod: name(),
        uid: uid(),
        container: "app".to_owned(),
        signal: signal.to_owned(),
        handled,
    };
    told(t, fact)
}

/// The app has ended.
pub(super) fn end(t: i64, code: i32) -> Record {
    end_of(t, "app", code)
}

pub(super) fn end_of(t: i64, container: &str, code: i32) -> Record {
    let fact = Fact::Ended {
        pod: name(),
        uid: uid(),
        container: container.to_owned(),
        code,
    };
    told(t, fact)
}

/// The sidecar's Envoy has ended.
pub(super) fn proxy_end(t: i64) -> Record {
    let fact = Fact::ProxyEnded {
        pod: name(),
        uid: uid(),
    };
    told(t, fact)
}

/// The app itself has answered the request `r` with an error.
pub(super) fn answered(t: i64, code: u16) -> Record {
    let fact = Fact::Answered {
        pod: name(),
        uid: uid(),
        id: "r".to_owned(),
        code,
    };
    told(t, fact)
}

pub(super) fn call_lost(t: i64) -> Record {
    let fact = Fact::CallLost {
        pod: name(),
        uid: uid(),
    };
    told(t, fact)
}
