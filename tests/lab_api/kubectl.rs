//! The lab's API server through the real kubectl.

use super::cluster::Practice;
use super::program::{Kubectl, line_with};

const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: demo}}
  template:
    metadata: {labels: {app: demo}}
    spec:
      containers:
      - name: app
        image: lastwatch/lab-app:1
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: demo}
spec:
  selector: {app: demo}
  ports: [{name: http, port: 80, targetPort: http}]
";

#[tokio::test]
async fn kubectl_applies_shows_follows_restarts_scales_and_deletes() {
    let practice = Practice::start().await;
    let kubectl = Kubectl::new(&practice.kubeconfig(&practice.admin), "demo.yaml", MANIFEST);
    let applied = kubectl.run("apply -f demo.yaml").await;
    assert!(
        applied.contains("deployment.apps/demo created"),
        "{applied}"
    );
    assert!(applied.contains("service/demo created"), "{applied}");
    kubectl
        .run("rollout status deployment/demo --timeout=50s")
        .await;
    let again = kubectl.run("apply -f demo.yaml").await;
    assert!(again.contains("deployment.apps/demo unchanged"), "{again}");

    let wide = kubectl.run("get pods -o wide").await;
    let header: Vec<&str> = wide
        .lines()
        .next()
        .unwrap()
        .split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    assert_eq!(
        header,
        [
            "NAME",
            "READY",
            "STATUS",
            "RESTARTS",
            "AGE",
            "IP",
            "NODE",
            "NOMINATED NODE",
            "READINESS GATES"
        ]
    );
    assert_eq!(
        wide.lines()
            .filter(|line| line.contains("1/1")
                && line.contains("Running")
                && line.contains("10.244.0."))
            .count(),
        2,
        "{wide}"
    );
    let nodes: Vec<bool> = ["node1", "node2"].map(|node| wide.contains(node)).into();
    assert_eq!(nodes, [true, true], "spread: {wide}");
    assert!(kubectl.run("get deployments").await.contains("2/2"));
    assert!(kubectl.run("get nodes").await.contains("Ready"));

    let pod = wide
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    let (_logs, mut lines) = kubectl.follow(&format!("logs -f --timestamps {pod}"));
    let line = line_with(&mut lines, &["first of"]).await;
    assert!(
        line.starts_with("2026-01-02T03:04:05.000000001Z "),
        "{line}"
    );

    let (_watch, mut changes) = kubectl.follow("get pods -w");
    line_with(&mut changes, &["NAME", "STATUS"]).await;
    kubectl.run("rollout restart deployment/demo").await;
    line_with(&mut changes, &[&pod, "Terminating"]).await;
    let status = kubectl
        .run("rollout status deployment/demo --timeout=50s")
        .await;
    assert!(status.contains("successfully rolled out"), "{status}");
    assert!(
        kubectl
            .run("rollout history deployment/demo")
            .await
            .contains('2')
    );

    assert!(
        kubectl
            .run("scale deployment/demo --replicas=3")
            .await
            .contains("scaled")
    );
    kubectl
        .run("wait --for=jsonpath={.status.readyReplicas}=3 deployment/demo --timeout=50s")
        .await;
    let victim = kubectl.living_pod().await;
    assert!(
        kubectl
            .run(&format!("delete pod {victim} --timeout=50s"))
            .await
            .contains("deleted")
    );
    let (found, text) = kubectl.try_run(&format!("get pod {victim}")).await;
    assert!(!found && text.contains("NotFound"), "{text}");

    let events = kubectl.run("get events").await;
    for words in [
        "LAST SEEN",
        "Successfully assigned default/",
        "Scaled up replica set demo-",
        "SuccessfulDelete",
    ] {
        assert!(events.contains(words), "{words} is not in {events}");
    }
    assert!(
        kubectl
            .run("events --for deployment/demo")
            .await
            .contains("ScalingReplicaSet")
    );
    practice.stop().await;
}

#[tokio::test]
async fn kubectl_patches_edits_and_is_told_what_is_wrong() {
    let practice = Practice::start().await;
    let kubectl = Kubectl::new(&practice.kubeconfig(&practice.admin), "demo.yaml", MANIFEST);
    kubectl.run("apply --server-side -f demo.yaml").await;
    kubectl
        .run("rollout status deployment/demo --timeout=50s")
        .await;
    assert!(
        kubectl
            .run("set image deployment/demo app=lastwatch/lab-app:2")
            .await
            .contains("image updated")
    );
    assert!(
        kubectl
            .run("get deployment demo -o jsonpath={.spec.template.spec.containers[0].image}")
            .await
            .contains("lab-app:2")
    );
    assert!(
        kubectl
            .run("rollout undo deployment/demo")
            .await
            .contains("rolled back")
    );
    kubectl.run("annotate deployment demo note=x").await;
    kubectl
        .run("rollout status deployment/demo --timeout=50s")
        .await;
    let pod = kubectl.living_pod().await;
    kubectl.run(&format!("label pod {pod} extra=y")).await;
    assert!(
        kubectl
            .run("describe deployment demo")
            .await
            .contains("StrategyType:")
    );
    assert!(kubectl.run("get pods -l extra=y").await.contains(&pod));
    let pods = kubectl.run(&format!("describe pod {pod}")).await;
    assert!(pods.contains("Successfully assigned"), "{pods}");
    assert!(
        kubectl
            .run("describe service demo")
            .await
            .contains("Endpoints:")
    );
    assert!(
        kubectl
            .run("get all")
            .await
            .contains("replicaset.apps/demo-")
    );
    assert!(kubectl.run("auth can-i delete pods").await.contains("yes"));
    assert!(
        kubectl
            .run("api-resources")
            .await
            .contains("endpointslices")
    );
    assert!(kubectl.run("cordon node1").await.contains("cordoned"));
    assert!(
        kubectl
            .run("get nodes")
            .await
            .contains("SchedulingDisabled")
    );
    assert!(
        kubectl
            .run("drain node1 --timeout=50s --force")
            .await
            .contains("drained")
    );
    kubectl
        .run("create configmap settings --from-literal=a=1")
        .await;
    assert!(
        kubectl
            .run("get configmap settings -o yaml")
            .await
            .contains("a: \"1\"")
    );
    assert!(
        kubectl
            .run("create token default")
            .await
            .starts_with("lab-")
    );

    let bad = MANIFEST.replace("periodSeconds", "periodMoments");
    std::fs::write(kubectl.home.path().join("bad.yaml"), bad).unwrap();
    let (success, text) = kubectl.try_run("apply -f bad.yaml").await;
    assert!(
        !success
            && text.contains(
                "unknown field \"spec.template.spec.containers[0].readinessProbe.periodMoments\""
            ),
        "{text}"
    );
    let (success, text) = kubectl.try_run("get pod nobody").await;
    assert!(
        !success && text.contains("pods \"nobody\" not found"),
        "{text}"
    );
    assert!(kubectl.run("delete -f demo.yaml").await.contains("deleted"));
    kubectl
        .run("wait --for=delete pods -l app=demo --timeout=50s")
        .await;
    practice.stop().await;
}
