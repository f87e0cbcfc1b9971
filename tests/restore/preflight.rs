//! What does `lastwatch run` say when it cannot begin, and with which exit code?

use crate::shop::{NAMESPACE, Shop};
use lastwatch::cluster::rights::RIGHTS;
use lastwatch::lab::api::User;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;

/// Runs a scenario that restarts the shop's Deployment through its Service.
async fn run(
    shop: &Shop,
    kubeconfig: &Path,
    workload: &str,
    service: &str,
    more: &[&str],
) -> Output {
    let scenario = json!({
        "apiVersion": "lastwatch.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "x"},
        "spec": {
            "target": {"workload": workload, "service": service},
            "load": {"rate": "10/s", "requests": [{"name": "all", "path": "/"}]},
            "steps": [{"rollingRestart": {}}]
        }
    });
    let path = shop.folder.path().join("scenario.yaml");
    std::fs::write(&path, scenario.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
    command
        .arg("run")
        .arg(&path)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--out")
        .arg(shop.folder.path().join("never"))
        .args(more)
        .stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn expect(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for words in words {
        assert!(said.contains(words), "`{words}` is not in:\n{said}");
    }
}

fn service(name: &str, selector: &Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]}
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_cannot_begin_says_why_and_changes_nothing() {
    let shop = Shop::open().await;
    for (name, selector) in [
        ("demo", json!({"app": "demo"})),
        ("other", json!({"app": "x"})),
    ] {
        shop.store
            .create("services", service(name, &selector))
            .unwrap();
    }
    let before = shop.at_rest().await;
    let admin = shop.kubeconfig.clone();
    let yes = ["--yes"];

    let output = run(&shop, &admin, "deployment/dmeo", "demo", &yes).await;
    expect(
        &output,
        USAGE,
        &[
            "deployment `dmeo` not found in namespace `shop`",
            "hint: did you mean `demo`?",
        ],
    );
    let output = run(&shop, &admin, "deployment/demo", "dmeo", &yes).await;
    expect(
        &output,
        USAGE,
        &["service `dmeo` not found", "did you mean `demo`?"],
    );
    let output = run(&shop, &admin, "deployment/demo", "other", &yes).await;
    expect(
        &output,
        USAGE,
        &[
            "service `other` does not select the pods of `deployment/demo`",
            "`app=x` (the pods have `app=demo`)",
        ],
    );

    let bob = shop.config("bob", "lab", &shop.api.issue_token(User::named("bob")));
    let output = run(&shop, &bob, "deployment/demo", "demo", &yes).await;
    expect(
        &output,
        UNAVAILABLE,
        &[
            "rights are missing in namespace `shop`",
            "patch deployments.apps",
            "kind: Role",
        ],
    );

    let token = shop.api.issue_token(User::admin());
    shop.api.revoke_token(&token);
    let expired = shop.config("expired", "lab", &token);
    let output = run(&shop, &expired, "deployment/demo", "demo", &yes).await;
    expect(
        &output,
        UNAVAILABLE,
        &["does not accept the credentials", "log in again"],
    );

    let nobody = shop.folder.path().join("nobody");
    let closed = std::fs::read_to_string(&admin).unwrap();
    let address = shop.address.to_string();
    std::fs::write(&nobody, closed.replace(&address, "127.0.0.1:1")).unwrap();
    let output = run(&shop, &nobody, "deployment/demo", "demo", &yes).await;
    expect(
        &output,
        UNAVAILABLE,
        &["cannot reach the API server at `http://127.0.0.1:1`"],
    );

    let context = ["--yes", "--context", "lb"];
    let output = run(&shop, &admin, "deployment/demo", "demo", &context).await;
    expect(
        &output,
        UNAVAILABLE,
        &["context `lb` is not in the kubeconfig", "`lab`"],
    );

    let token = shop.api.issue_token(User::admin());
    let production = shop.config("production", "acme-prod", &token);
    let output = run(&shop, &production, "deployment/demo", "demo", &yes).await;
    expect(
        &output,
        USAGE,
        &[
            "context `acme-prod` looks like production",
            "--yes-production",
        ],
    );

    let output = run(&shop, &admin, "deployment/demo", "demo", &[]).await;
    expect(&output, USAGE, &["nobody has agreed to it", "--yes"]);

    let (other, _facts) = shop.executor(&admin, "other-run").await;
    let output = run(&shop, &admin, "deployment/demo", "demo", &yes).await;
    expect(
        &output,
        UNAVAILABLE,
        &["run `other-run` is at work on this workload"],
    );
    other.lock().release().await.unwrap();

    let output = run(&shop, &admin, "deployment/demo", "demo", &["--dry-run"]).await;
    assert!(output.status.success(), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.starts_with("dry run: nothing was changed"), "{told}");
    assert!(
        told.contains("1. rollingRestart: set the pod template's annotation"),
        "{told}"
    );

    assert_eq!(shop.at_rest().await, before, "nothing was changed");
    assert!(
        !shop.folder.path().join("never").exists(),
        "no run was begun"
    );
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_that_is_not_at_rest_is_not_disturbed() {
    let shop = Shop::open().await;
    shop.store
        .create("services", service("demo", &json!({"app": "demo"})))
        .unwrap();
    shop.at_rest().await;
    shop.store
        .update("deployments", Some(NAMESPACE), "demo", |demo| {
            demo["spec"]["paused"] = json!(true);
            Ok(())
        })
        .unwrap();
    let output = run(
        &shop,
        &shop.kubeconfig.clone(),
        "deployment/demo",
        "demo",
        &["--yes"],
    )
    .await;
    expect(
        &output,
        UNAVAILABLE,
        &["deployment/demo is not at rest: its rollouts are paused"],
    );
    shop.close().await;
}

/// Gives a user every right, those on objects of known names on these alone.
fn grant_by_name(shop: &Shop, user: &str, workload: &str) {
    let rule = |right: &lastwatch::cluster::rights::Right| {
        let mut rule = json!({
            "apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]
        });
        let many = matches!(right.verb, "list" | "watch" | "create");
        let names = match right.resource {
            "services" => json!(["demo"]),
            "leases" => json!(["lastwatch-deployment-demo"]),
            resource if resource.starts_with("deployments") => json!([workload]),
            _ => json!([]),
        };
        if !many && names != json!([]) {
            rule["resourceNames"] = names;
        }
        rule
    };
    let rules: Vec<Value> = RIGHTS.iter().map(rule).collect();
    let metadata = json!({"name": user, "namespace": NAMESPACE});
    let role = json!({"metadata": metadata, "rules": rules});
    shop.store.create("roles", role).unwrap();
    let binding = json!({
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
    });
    shop.store.create("rolebindings", binding).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_for_the_runs_own_objects_is_enough_and_one_for_others_is_not() {
    let shop = Shop::open().await;
    shop.store
        .create("services", service("demo", &json!({"app": "demo"})))
        .unwrap();
    shop.at_rest().await;
    grant_by_name(&shop, "ann", "demo");
    grant_by_name(&shop, "bob", "other");
    let of = |user: &str| shop.config(user, "lab", &shop.api.issue_token(User::named(user)));
    let dry = ["--dry-run"];
    let output = run(&shop, &of("ann"), "deployment/demo", "demo", &dry).await;
    assert!(output.status.success(), "{}", said(&output));
    let output = run(&shop, &of("bob"), "deployment/demo", "demo", &dry).await;
    expect(
        &output,
        UNAVAILABLE,
        &["2 rights are missing in namespace `shop`: get deployments.apps, patch deployments.apps"],
    );
    shop.close().await;
}
