use super::*;
use crate::lab::store::{RESOURCES, resource};

fn pod() -> Value {
    json!({
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "node1"},
        "status": {"phase": "Running", "podIP": "10.244.0.3", "containerStatuses": [
            {"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}},
            {"name": "b", "ready": true, "restartCount": 0, "state": {"running": {}}}
        ]}
    })
}

fn summary(pod: &Value) -> String {
    let now = "2026-01-01T00:01:00Z".parse().unwrap();
    let summary = super::pod::summary(pod, now);
    format!("{} {} {}", summary.ready, summary.status, summary.restarts)
}

#[test]
fn a_pods_state_is_told_as_kubectl_tells_it() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod();
        change(&mut pod);
        summary(&pod)
    };
    assert_eq!(summary(&pod()), "2/2 Running 0");
    assert_eq!(
        with(&|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:30Z")),
        "2/2 Terminating 0"
    );
    assert_eq!(
        with(&|pod| {
            let container = &mut pod["status"]["containerStatuses"][1];
            container["ready"] = json!(false);
            container["restartCount"] = json!(2);
            container["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
            container["lastState"] = json!({"terminated": {"finishedAt": "2026-01-01T00:00:50Z"}});
        }),
        "1/2 CrashLoopBackOff 2 (10s ago)"
    );
    assert_eq!(
        with(&|pod| {
            pod["status"]["phase"] = json!("Pending");
            pod["status"]["containerStatuses"] = json!([]);
        }),
        "0/2 Pending 0"
    );
    assert_eq!(
        with(&|pod| {
            pod["status"]["phase"] = json!("Succeeded");
            for container in pod["status"]["containerStatuses"].as_array_mut().unwrap() {
                container["ready"] = json!(false);
                container["state"] = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
            }
        }),
        "0/2 Completed 0"
    );
    assert_eq!(
        with(&|pod| {
            pod["spec"]["initContainers"] =
                json!([{"name": "istio-proxy", "restartPolicy": "Always"}]);
            pod["status"]["initContainerStatuses"] = json!([{"name": "istio-proxy", "started": true, "ready": true, "state": {"running": {}}}]);
        }),
        "3/3 Running 0"
    );
    assert_eq!(
        with(&|pod| {
            pod["spec"]["initContainers"] = json!([{"name": "init"}]);
            pod["status"]["initContainerStatuses"] =
                json!([{"name": "init", "state": {"running": {}}}]);
        }),
        "0/2 Init:0/1 0"
    );
}

#[test]
fn every_kind_has_as_many_cells_as_columns() {
    for kind in RESOURCES {
        let object = json!({"metadata": {"name": "x"}});
        let table = table(kind, &Query::default(), &[&object], &json!({}));
        let cells = table["rows"][0]["cells"].as_array().unwrap().len();
        let columns = table["columnDefinitions"].as_array().unwrap().len();
        assert_eq!(cells, columns, "{}", kind.plural);
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    }
}

#[test]
fn a_watch_or_a_client_may_want_the_whole_object_or_none() {
    let kind = resource("pods").unwrap();
    let pod = pod();
    let row = |query: &str| {
        table(kind, &Query::parse(query), &[&pod], &json!({}))["rows"][0]["object"].clone()
    };
    assert_eq!(row("includeObject=Object"), pod);
    assert_eq!(row("includeObject=None"), Value::Null);
    assert_eq!(row("includeObject=Metadata")["metadata"]["name"], "p");
}
