use super::*;
use crate::evidence::{Fact, Resource};
use crate::observe::feed::Keep;
use crate::observe::testing::{Answer, Tail, kind, scripted, sink, until};
use serde_json::json;

fn api_error(code: u16, retry_after: u32) -> Failure {
    let mut status = kube::core::Status::failure("no", "No");
    status.code = code;
    status.details = Some(kube::core::response::StatusDetails {
        retry_after_seconds: retry_after,
        ..serde_json::from_value(json!({})).unwrap()
    });
    Failure::Api(kube::Error::Api(status.boxed()))
}

#[test]
fn what_follows_a_failure_depends_on_its_code_and_on_what_was_seen_before() {
    for (code, live, expected) in [
        (410, true, Next::Relist),
        (410, false, Next::Relist),
        (403, false, Next::GiveUp),
        (404, false, Next::GiveUp),
        (403, true, Next::Retry(None)),
        (401, true, Next::Retry(None)),
        (401, false, Next::Retry(None)),
        (500, true, Next::Retry(None)),
    ] {
        assert_eq!(next(&api_error(code, 0), live), expected, "{code} {live}");
    }
    let throttled = next(&api_error(429, 7), true);
    assert_eq!(throttled, Next::Retry(Some(Duration::from_secs(7))));
}

fn feed() -> Feed {
    Feed {
        resource: Resource::Pods,
        what: "pods",
        elsewhere: None,
        path: "/api/v1/namespaces/shop/pods".to_owned(),
        labels: Some("app=demo".to_owned()),
        fields: None,
        required: true,
        keep: Keep::All,
    }
}

fn list(version: &str, items: &[(&str, &str)]) -> Answer {
    let items: Vec<Value> = items
        .iter()
        .map(|(uid, version)| pod(uid, version))
        .collect();
    let list = json!({
        "kind": "PodList", "apiVersion": "v1",
        "metadata": {"resourceVersion": version}, "items": items,
    });
    Answer::ok(list.to_string())
}

fn pod(uid: &str, version: &str) -> Value {
    json!({"metadata": {
        "name": uid, "uid": uid, "resourceVersion": version, "managedFields": [{"manager": "x"}],
    }})
}

fn line(change: &str, object: &Value) -> String {
    json!({"type": change, "object": object}).to_string() + "\n"
}

#[tokio::test]
async fn a_version_that_is_too_old_leads_to_a_gap_with_the_uids_and_then_to_what_is_new() {
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
    let first = line("MODIFIED", &pod("a", "11")) + &line("ERROR", &gone);
    let (client, asked) = scripted(vec![
        list("10", &[("a", "1"), ("b", "2")]),
        Answer::ok(first).tail(Tail::Open),
        list("20", &[("a", "11"), ("c", "15")]),
        Answer::ok(line("DELETED", &pod("c", "21"))).tail(Tail::Open),
    ]);
    let (sink, mut facts) = sink();
    let book = PodBook::default();
    let (watch, _state) = Watch::new(client, feed(), sink, Some(book.clone()));
    let token = CancellationToken::new();
    let running = tokio::spawn(watch.run(token.clone()));
    let mut deliveries = Vec::new();
    until(&mut facts, |fact| {
        match kind(fact)? {
            EventKind::Object { change, object, .. } => {
                assert!(object["metadata"]["managedFields"].is_null());
                assert_eq!(object["metadata"]["name"], object["metadata"]["uid"]);
                let uid = object["metadata"]["uid"].as_str().unwrap();
                deliveries.push(format!("{change:?} {uid}"));
            }
            EventKind::Blind(blind) => {
                assert_eq!(blind.what, "pods");
                assert!(blind.from.is_some() && blind.from <= blind.to);
                deliveries.push(format!("blind {}", blind.uids.clone().unwrap().join(" ")));
            }
            other => panic!("{other:?}"),
        }
        (deliveries.last().map(String::as_str) == Some("Deleted c")).then_some(())
    })
    .await;
    let expected = [
        "Added a",
        "Added b",
        "Modified a",
        "blind a c",
        "Added c",
        "Deleted c",
    ];
    assert_eq!(deliveries, expected);
    assert!(book.get("b").expect("it was there").gone);
    let asked = asked.lock().unwrap().clone();
    assert!(asked[1].contains("resourceVersion=10") && asked[1].contains("watch=true"));
    assert!(
        asked[0].contains("labelSelector=app%3Ddemo"),
        "{}",
        asked[0]
    );
    assert!(asked[3].contains("resourceVersion=20"), "{}", asked[3]);
    token.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_right_that_is_missing_from_the_start_is_one_blindness_for_the_whole_run() {
    let (client, _) = scripted(vec![Answer::status(403, "Forbidden")]);
    let (sink, mut facts) = sink();
    let (watch, state) = Watch::new(client, feed(), sink, None);
    watch.run(CancellationToken::new()).await;
    let blind = until(&mut facts, |fact| match kind(fact)? {
        EventKind::Blind(blind) => Some(blind.clone()),
        _ => None,
    })
    .await;
    assert_eq!((blind.from, blind.to), (None, None));
    assert!(matches!(&*state.borrow(), FeedState::Denied(reason) if reason.contains("Forbidden")));
}

#[tokio::test]
async fn an_expired_token_keeps_the_watch_starting_and_says_why() {
    let (client, _) = scripted(vec![Answer::status(401, "Unauthorized"); 3]);
    let (sink, _facts) = sink();
    let (watch, mut state) = Watch::new(client, feed(), sink, None);
    let token = CancellationToken::new();
    let running = tokio::spawn(watch.run(token.clone()));
    let said = state.wait_for(|state| matches!(state, FeedState::Starting(Some(_))));
    let said = tokio::time::timeout(Duration::from_secs(20), said).await;
    let said = said
        .expect("it says so at once")
        .expect("it is alive")
        .clone();
    assert!(matches!(said, FeedState::Starting(Some(text)) if text.contains("Unauthorized")));
    token.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_blind_from_its_last_word() {
    let (client, _) = scripted(vec![
        list("10", &[("a", "1")]),
        Answer::ok(line("MODIFIED", &pod("a", "11"))).tail(Tail::Open),
    ]);
    let (sink, mut facts) = sink();
    let (watch, _state) = Watch::new(client, feed(), sink.clone(), None);
    let token = CancellationToken::new();
    let running = tokio::spawn(watch.run(token.clone()));
    let is_modified = |fact: &Fact| match kind(fact)? {
        EventKind::Object { change, .. } => (*change == Change::Modified).then_some(()),
        _ => None,
    };
    until(&mut facts, is_modified).await;
    tokio::time::sleep(DEAD + PATIENCE).await;
    // The run's clock does not stand still with tokio's.
    std::thread::sleep(TOLERATED);
    token.cancel();
    running.await.unwrap();
    let blind = until(&mut facts, |fact| match kind(fact)? {
        EventKind::Blind(blind) => Some(blind.clone()),
        _ => None,
    })
    .await;
    assert!(blind.from.is_some() && blind.to.is_none(), "{blind:?}");
}

/// The first gap that is told.
async fn gap(facts: &mut tokio::sync::mpsc::Receiver<Fact>) -> Blindness {
    until(facts, |fact| match kind(fact)? {
        EventKind::Blind(blind) => Some(blind.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn only_a_watch_that_goes_on_from_its_version_says_that_nothing_is_missing() {
    let away = || Answer::status(500, "Away");
    let cut = Answer::ok(line("MODIFIED", &pod("a", "11"))).tail(Tail::Break);
    let late = Answer::ok(line("MODIFIED", &pod("a", "12"))).tail(Tail::Open);
    let gone = Answer::status(410, "Expired");
    for (back, resumed) in [
        (vec![late.clone()], true),
        (vec![gone, list("20", &[("a", "12")])], false),
    ] {
        let first = vec![list("10", &[("a", "1")]), cut.clone()];
        let answers = [first, vec![away(); 3], back].concat();
        let (client, asked) = scripted(answers);
        let (sink, mut facts) = sink();
        let (watch, _state) = Watch::new(client, feed(), sink, None);
        let token = CancellationToken::new();
        let running = tokio::spawn(watch.run(token.clone()));
        let told = gap(&mut facts).await;
        assert_eq!(told.resumed, resumed, "{told:?}");
        assert_eq!(told.uids.is_some(), !resumed, "{told:?}");
        assert!(told.from.is_some() && told.from < told.to, "{told:?}");
        let asked = asked.lock().unwrap().clone();
        assert!(asked[5].contains("resourceVersion=11"), "{asked:?}");
        token.cancel();
        running.await.unwrap();
    }
}

#[tokio::test]
async fn a_watch_that_ends_at_once_has_not_shown_what_was_missed() {
    let away = || Answer::status(500, "Away");
    let cut = Answer::ok(line("MODIFIED", &pod("a", "11"))).tail(Tail::Break);
    let late = Answer::ok(line("DELETED", &pod("a", "12"))).tail(Tail::Open);
    let first = vec![list("10", &[("a", "1")]), cut];
    let answers = [first, vec![away(); 3], vec![Answer::ok(""), late]].concat();
    let (client, asked) = scripted(answers);
    let (sink, mut facts) = sink();
    let (watch, _state) = Watch::new(client, feed(), sink, None);
    let token = CancellationToken::new();
    let running = tokio::spawn(watch.run(token.clone()));
    let told = gap(&mut facts).await;
    assert_eq!(asked.lock().unwrap().len(), 7, "{told:?}");
    assert!(told.resumed, "{told:?}");
    token.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_the_end_of_the_run_meets_in_its_renewal_has_no_hole() {
    let renewed = vec![list("10", &[("a", "1")]), Answer::ok("")];
    let (client, asked) = scripted(renewed);
    let (sink, mut facts) = sink();
    let (watch, _state) = Watch::new(client, feed(), sink, None);
    let token = CancellationToken::new();
    let running = tokio::spawn(watch.run(token.clone()));
    // The watch that renews it is opened and not answered.
    while asked.lock().unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    token.cancel();
    running.await.unwrap();
    while let Some(fact) = facts.recv().await {
        assert!(
            !matches!(kind(&fact), Some(EventKind::Blind(_))),
            "{fact:?}"
        );
    }
}
