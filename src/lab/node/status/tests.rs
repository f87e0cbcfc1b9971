use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a stamp")
}

fn pod(policy: &str) -> Value {
    json!({
        "metadata": {"name": "demo-1", "generation": 2},
        "spec": {"restartPolicy": policy},
        "status": {"qosClass": "BestEffort", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T03:04:00Z"},
            {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-02T03:04:01Z"}
        ]}
    })
}

fn container(name: &str, state: State) -> ContainerView {
    ContainerView {
        name: name.to_owned(),
        image: "lastwatch/lab-app".to_owned(),
        sidecar: false,
        started: matches!(state, State::Running { .. }),
        ready: matches!(state, State::Running { .. }),
        state,
        last: None,
        restarts: 0,
        id: None,
    }
}

fn waiting() -> State {
    State::Waiting {
        reason: "ContainerCreating",
        message: None,
    }
}

fn running() -> State {
    State::Running {
        since: at("2026-01-02T03:04:05.9Z"),
    }
}

fn ended(code: i32) -> State {
    State::Terminated(Finished {
        code,
        reason: if code == 0 { "Completed" } else { "Error" },
        started: at("2026-01-02T03:04:05Z"),
        finished: at("2026-01-02T03:04:09.99Z"),
        id: "containerd://1".to_owned(),
        message: None,
    })
}

fn view(init: Vec<ContainerView>, containers: Vec<ContainerView>) -> PodView {
    PodView {
        now: at("2026-01-02T03:04:10.5Z"),
        start_time: at("2026-01-02T03:04:01Z"),
        host_ip: "172.18.0.2".to_owned(),
        pod_ip: Some("10.244.0.3".to_owned()),
        sandbox: true,
        init,
        containers,
        ending: false,
    }
}

#[test]
fn the_phase_follows_the_containers_and_the_restart_policy() {
    let one = |state| view(Vec::new(), vec![container("app", state)]);
    let ending = |state| PodView {
        ending: true,
        ..one(state)
    };
    let behind = |state| {
        view(
            vec![container("setup", state)],
            vec![container("app", waiting())],
        )
    };
    for (view, policy, expected) in [
        (one(waiting()), "Always", "Pending"),
        (one(running()), "Always", "Running"),
        (one(ended(0)), "Always", "Running"),
        (one(ended(3)), "OnFailure", "Running"),
        (one(ended(0)), "OnFailure", "Succeeded"),
        (one(ended(3)), "Never", "Failed"),
        (ending(ended(0)), "Always", "Succeeded"),
        (ending(ended(137)), "Always", "Failed"),
        (ending(running()), "Always", "Running"),
        (behind(running()), "Always", "Pending"),
        (behind(ended(1)), "Never", "Failed"),
        (behind(ended(1)), "Always", "Pending"),
    ] {
        assert_eq!(phase(&view, policy), expected, "{view:?} {policy}");
    }
}

#[test]
fn a_condition_keeps_its_time_while_it_stays_and_floors_a_new_one() {
    let status = render(
        &pod("Always"),
        &view(Vec::new(), vec![container("app", running())]),
    );
    let status = json!({"status": status});
    let stamp = |kind| object::condition(&status, kind).expect(kind)["lastTransitionTime"].clone();
    assert_eq!(stamp("Initialized"), "2026-01-02T03:04:01Z", "as before");
    assert_eq!(stamp("Ready"), "2026-01-02T03:04:10Z", "new");
    assert_eq!(
        stamp("PodScheduled"),
        "2026-01-02T03:04:00Z",
        "the scheduler's"
    );
    assert_eq!(
        status["status"]["containerStatuses"][0]["state"]["running"]["startedAt"],
        "2026-01-02T03:04:05Z"
    );
}

#[test]
fn an_ended_pod_is_not_ready_for_the_kubelets_reason() {
    for (code, initialized, ready) in [
        (0, json!("PodCompleted"), "PodCompleted"),
        (137, Value::Null, "PodFailed"),
    ] {
        let ended = PodView {
            ending: true,
            sandbox: false,
            ..view(Vec::new(), vec![container("app", ended(code))])
        };
        let status = json!({"status": render(&pod("Always"), &ended)});
        let of = |kind| object::condition(&status, kind).expect(kind).clone();
        assert_eq!(of("Ready")["reason"], ready);
        assert_eq!(of("Ready")["status"], "False");
        assert_eq!(of("Initialized")["reason"], initialized);
        assert_eq!(of("PodReadyToStartContainers")["status"], "False");
    }
}

#[test]
fn a_sidecar_that_is_not_ready_makes_the_pod_unready() {
    let mut sidecar = container("istio-proxy", running());
    sidecar.sidecar = true;
    sidecar.ready = false;
    let status = render(
        &pod("Always"),
        &view(vec![sidecar], vec![container("app", running())]),
    );
    let status = json!({"status": status});
    let ready = object::condition(&status, "Ready").expect("Ready");
    assert_eq!(
        ready["message"],
        "containers with unready status: [istio-proxy]"
    );
    assert_eq!(status["status"]["phase"], "Running");
}
