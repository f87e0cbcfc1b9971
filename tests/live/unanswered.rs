//! What if somebody accepts every connection and answers no request?

use crate::practice::{NAMESPACE, Practice};
use crate::{NO_EXPOSURE, QUIET, ended, left_nothing};
use serde_json::{Value, json};
use socket2::SockRef;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// Reads each request and resets its connection, as a sidecar does that wants mTLS.
async fn reset_all(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))
        });
    }
}

/// A cluster whose Service leads there.
fn resetting() -> Practice {
    let practice = Practice::start();
    let address = practice.serve_beside(|listener, _| reset_all(listener));
    change(&practice, "services", "demo", |service| {
        service["spec"]["ports"][0]["port"] = json!(address.port());
    });
    practice
}

fn change(practice: &Practice, resource: &str, name: &str, change: impl Fn(&mut Value)) {
    let set = |object: &mut Value| {
        change(object);
        Ok(())
    };
    practice
        .store
        .update(resource, Some(NAMESPACE), name, set)
        .unwrap();
}

/// What a run in a pod of the cluster says.
fn told(practice: &Practice) -> String {
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let mut command = practice.command(&scenario);
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    let text = ended(&command.env("HOSTNAME", "load-1").output().unwrap(), 69);
    let reset = "none of 10 requests was answered: 10 reset before headers";
    assert!(text.contains(reset), "{text}");
    assert!(!text.contains("as a Job"), "it is in the cluster: {text}");
    left_nothing(practice);
    text
}

#[test]
fn resets_before_pods_with_a_sidecar_are_told_with_what_strict_mtls_asks_for() {
    let practice = resetting();
    for pod in ["demo-1-a", "demo-1-b"] {
        change(&practice, "pods", pod, |pod| {
            let containers = pod["spec"]["containers"].as_array_mut().unwrap();
            containers.push(json!({"name": "istio-proxy", "image": "proxy"}));
        });
    }
    let text = told(&practice);
    assert!(text.contains("a PeerAuthentication says STRICT"), "{text}");
    assert!(text.contains("`load.from: meshed-pod`"), "{text}");
}

#[test]
fn resets_before_pods_without_a_sidecar_are_not_laid_upon_mtls() {
    let text = told(&resetting());
    assert!(!text.contains("STRICT"), "{text}");
    assert!(text.contains("the Service's target port"), "{text}");
}
