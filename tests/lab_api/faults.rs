//! Faults on purpose, as a client feels them.

use super::client::{config, version};
use super::cluster::Practice;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{PostParams, WatchEvent, WatchParams};
use lastwatch::task::wait_until;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_watch_from_a_forgotten_version_is_told_that_it_is_gone() {
    let practice = Practice::start().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(practice.client().await);
    let old = version(&configs).await;
    configs
        .create(&PostParams::default(), &config("a", "red"))
        .await
        .unwrap();
    practice.api.expire_history();
    let mut watch = configs
        .watch(&WatchParams::default(), &old)
        .await
        .unwrap()
        .boxed();
    let WatchEvent::Error(status) = watch.try_next().await.unwrap().unwrap() else {
        panic!("an error is the first event");
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    practice.stop().await;
}

#[tokio::test]
async fn a_cut_breaks_open_watches_and_not_later_ones() {
    let practice = Practice::start().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(practice.client().await);
    let version = version(&configs).await;
    let mut watch = configs
        .watch(&WatchParams::default(), &version)
        .await
        .unwrap()
        .boxed();
    configs
        .create(&PostParams::default(), &config("a", "red"))
        .await
        .unwrap();
    assert!(matches!(
        watch.try_next().await.unwrap(),
        Some(WatchEvent::Added(_))
    ));
    practice.api.cut_watches();
    let ended = tokio::time::timeout(PATIENCE, watch.try_next())
        .await
        .expect("it ends");
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    let mut again = configs
        .watch(&WatchParams::default(), &version)
        .await
        .unwrap()
        .boxed();
    assert!(matches!(
        again.try_next().await.unwrap(),
        Some(WatchEvent::Added(_))
    ));
    practice.stop().await;
}

#[tokio::test]
async fn throttling_says_when_to_come_again_and_ends() {
    let practice = Practice::start().await;
    practice.api.throttle(2, 7);
    let url = format!(
        "http://{}/api/v1/namespaces/default/configmaps",
        practice.address
    );
    let client = practice.client().await;
    for expected in [429, 429, 200] {
        let request = http::Request::get(&url)
            .body(kube::client::Body::empty())
            .unwrap();
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.status(), expected);
        let after = answer
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(after, (expected == 429).then(|| "7".to_owned()));
        assert!(answer.headers().contains_key("date"));
    }
    practice.stop().await;
}

#[tokio::test]
async fn an_outage_refuses_connections_and_then_everything_is_there_again() {
    let practice = Practice::start().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(practice.client().await);
    configs
        .create(&PostParams::default(), &config("a", "red"))
        .await
        .unwrap();
    practice.api.outage(Duration::from_millis(400));
    wait_until("a refusal", PATIENCE, Duration::from_millis(5), || async {
        match tokio::net::TcpStream::connect(practice.address).await {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    wait_until("the API", PATIENCE, Duration::from_millis(20), || async {
        configs
            .get("a")
            .await
            .map(|_| ())
            .map_err(|error| error.to_string())
    })
    .await
    .unwrap();
    practice.stop().await;
}
