//! Which links, addresses and routes does the fabric consist of? They are made by iproute2's `ip`.

use super::{Error, NODE_ADDRESSES, PodNet, namespace};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The cable that nobody listens to.
const NOWHERE: &str = "nowhere0";

/// The cable between the nodes.
const UPLINK: &str = "uplink0";

/// Wires the nodes with each other and gives each its routes.
pub(super) fn base(second: &OwnedFd) -> Result<(), Error> {
    let cable = format!(
        "link add {UPLINK} type veth peer name {UPLINK} netns {}\n",
        path(second)
    );
    ip(None, &(cable + &node(0)))?;
    ip(Some(second), &node(1))?;
    for ns in [None, Some(second)] {
        let handle = ns.map(std::os::fd::AsFd::as_fd);
        namespace::in_namespace(handle, forward_packets)?.map_err(|source| Error::Namespace {
            what: "let a node forward packets",
            source,
        })?;
    }
    Ok(())
}

fn node(index: usize) -> String {
    let own = NODE_ADDRESSES[index];
    let other = NODE_ADDRESSES[1 - index];
    format!(
        "link set lo up\n\
         link set {UPLINK} up\n\
         addr add {own}/24 dev {UPLINK}\n\
         link add {NOWHERE} type veth peer name {NOWHERE}p\n\
         link set {NOWHERE} arp off up\n\
         link set {NOWHERE}p arp off up\n\
         route add 10.244.{index}.0/24 dev {NOWHERE} src {own}\n\
         route add 10.244.{}.0/24 via {other} src {own}\n\
         route add 10.96.0.0/16 dev {NOWHERE} src {own}\n",
        1 - index
    )
}

/// Settings of the network namespace that the calling thread is in.
fn forward_packets() -> std::io::Result<()> {
    let ipv4 = "/proc/sys/net/ipv4";
    if std::fs::read_to_string(format!("{ipv4}/ip_forward"))?.trim() != "1" {
        std::fs::write(format!("{ipv4}/ip_forward"), "1")?;
    }
    // Routes are symmetric here; a host that checks them strictly would not mind, but might differ.
    let _ = std::fs::write(format!("{ipv4}/conf/all/rp_filter"), "0");
    Ok(())
}

/// Connects a pod's namespace with its node. Everything is routed, nothing bridged, so that the
/// node's connection tracking sees the traffic between its own pods too.
pub(super) fn plug(node: Option<&OwnedFd>, host: Ipv4Addr, pod: &PodNet) -> Result<(), Error> {
    let (link, address, inside) = (&pod.link, pod.address, path(&pod.ns));
    let gateway = gateway(address);
    let mut script = String::new();
    let _ = writeln!(
        script,
        "link add {link} type veth peer name eth0 netns {inside}"
    );
    let _ = writeln!(script, "link set {link} up");
    let _ = writeln!(script, "addr add {gateway}/32 dev {link}");
    let _ = writeln!(script, "route add {address}/32 dev {link} src {host}");
    ip(node, &script)?;
    ip(
        Some(&pod.ns),
        &format!(
            "link set lo up\n\
             link set eth0 up\n\
             addr add {address}/32 dev eth0\n\
             route add {gateway}/32 dev eth0 scope link\n\
             route add default via {gateway} dev eth0 src {address}\n"
        ),
    )
}

/// Takes a pod's link away, and with it its address and its route.
pub(super) fn unplug(node: Option<&OwnedFd>, link: &str) -> Result<(), Error> {
    ip(node, &format!("link del {link}\n"))
}

fn gateway(pod: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = pod.octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// A name under which `ip` can open the namespace: this process holds it.
fn path(ns: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), ns.as_raw_fd())
}

fn ip(ns: Option<&OwnedFd>, script: &str) -> Result<(), Error> {
    let mut command = tool("ip");
    command.args(["-batch", "-"]);
    feed(
        "ip",
        namespace::enter(&mut command, &namespace::network(ns)),
        script,
    )
}

/// A program of the system. Debian keeps those in `sbin`, which an ordinary user's PATH lacks.
pub(crate) fn tool(name: &str) -> Command {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&own).filter(|folder| folder.is_absolute());
    let all = std::env::join_paths(own.chain(["/usr/sbin", "/sbin"].map(PathBuf::from)));
    let mut command = Command::new(name);
    command.env("PATH", all.expect("these were parts of a PATH"));
    command
}

/// Runs a program that reads what it is to do from its stdin.
pub(crate) fn feed(
    program: &'static str,
    command: &mut Command,
    script: &str,
) -> Result<(), Error> {
    let failed = |source| Error::Program { program, source };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // A program that ends before it has read all says why on stderr.
    let _ = stdin.write_all(script.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Refused {
        program,
        text: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
