//! What `lastwatch restore` ends with.

use crate::shop::{NAMESPACE, Shop, step};
use lastwatch::scenario::Action;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use tokio_util::sync::CancellationToken;

fn scale(shop: &Shop, replicas: u32) {
    let set = |deployment: &mut Value| {
        deployment["spec"]["replicas"] = json!(replicas);
        Ok(())
    };
    let name = Some(NAMESPACE);
    shop.store.update("deployments", name, "demo", set).unwrap();
}

fn expect(output: &Output, code: i32, words: &str) {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_says_whether_all_is_as_it_was() {
    let shop = Shop::open().await;
    let before = shop.at_rest().await;
    let (mut executor, _facts) = shop.executor(&shop.kubeconfig, "codes").await;
    let stop = CancellationToken::new();
    let down = step(Action::Scale { to: 1 });
    executor.run_step(0, &down, &stop).await.unwrap();
    drop(executor);
    let run = shop.folder.path().join("codes");

    scale(&shop, 2);
    let refused = shop.restore(&run).await;
    expect(&refused, 1, "somebody else has changed it");

    scale(&shop, 1);
    expect(&shop.restore(&run).await, 0, "restored:");
    assert_eq!(shop.at_rest().await, before);

    let nowhere = shop.restore(Path::new("/nonexistent/run")).await;
    expect(&nowhere, 64, "should be the directory of a run");

    let config = std::fs::read_to_string(&shop.kubeconfig).unwrap();
    let dead = config.replace(&shop.address.to_string(), "127.0.0.1:1");
    std::fs::write(&shop.kubeconfig, dead).unwrap();
    expect(&shop.restore(&run).await, 69, "cannot reach the API server");
    shop.close().await;
}
