use super::*;
use crate::evidence::Fact;
use crate::observe::pods::tests::pod;
use crate::observe::testing::{Answer, Asked, Tail, kind, scripted, sink, until};
use serde_json::json;
use tokio::sync::mpsc;

fn log(lines: &[(u32, &str)]) -> Answer {
    let lines = lines
        .iter()
        .map(|(second, text)| format!("2026-11-24T17:00:{second:02}.000000000Z {text}\n"));
    Answer::ok(lines.collect::<String>())
}

fn start(answers: Vec<Answer>) -> (PodBook, CancellationToken, mpsc::Receiver<Fact>) {
    let book = PodBook::default();
    book.apply(&pod("a", json!({"running": {}})));
    let (token, facts, _) = follow(&book, answers);
    (book, token, facts)
}

/// Follows the log of pod `a` of a book; at last come the paths that were asked for.
fn follow(
    book: &PodBook,
    answers: Vec<Answer>,
) -> (CancellationToken, mpsc::Receiver<Fact>, Asked) {
    let (client, asked) = scripted(answers);
    let (sink, facts) = sink();
    let followed = book.get("uid-a").expect("just applied");
    let api = Api::namespaced(client, "shop");
    let follower = Follower::new(
        api,
        &followed,
        "app",
        sink,
        book.clone(),
        Followers::default(),
    );
    let token = CancellationToken::new();
    tokio::spawn(follower.run(token.clone()));
    (token, facts, asked)
}

fn line_of(fact: &Fact) -> Option<String> {
    match fact {
        Fact::Line { raw, .. } => raw.split_once(' ').map(|(_, text)| text.to_owned()),
        Fact::Event(_) => None,
    }
}

/// All lines and blindness until the follower has ended by itself.
async fn collect(facts: &mut mpsc::Receiver<Fact>) -> (Vec<String>, Vec<Blindness>) {
    let (mut lines, mut blind) = (Vec::new(), Vec::new());
    let patience = std::time::Duration::from_secs(20);
    while let Some(fact) = tokio::time::timeout(patience, facts.recv())
        .await
        .expect("it ends")
    {
        lines.extend(line_of(&fact));
        if let Some(EventKind::Blind(found)) = kind(&fact) {
            blind.push(found.clone());
        }
    }
    (lines, blind)
}

#[tokio::test]
async fn only_a_container_that_ran_before_the_run_is_read_from_the_end_of_its_log() {
    for marked in [false, true] {
        let book = PodBook::default();
        book.apply(&pod("a", json!({"running": {}})));
        if marked {
            book.mark();
        }
        let (_token, mut facts, asked) = follow(&book, vec![Answer::status(404, "NotFound")]);
        collect(&mut facts).await;
        let asked = asked.lock().unwrap().join("\n");
        assert_eq!(asked.contains("tailLines=2000"), !marked, "{asked}");
    }
}

#[tokio::test]
async fn a_broken_stream_is_resumed_without_loss_or_doubling() {
    let (_book, _token, mut facts) = start(vec![
        log(&[(1, "one"), (2, "two")]).tail(Tail::Break),
        log(&[(1, "one"), (2, "two"), (3, "three")]),
        Answer::status(404, "NotFound"),
    ]);
    let (lines, blind) = collect(&mut facts).await;
    assert_eq!(lines, ["one", "two", "three"]);
    assert_eq!(blind, []);
}

#[tokio::test]
async fn a_resumed_stream_that_does_not_overlap_is_blindness() {
    let (_book, _token, mut facts) = start(vec![
        log(&[(1, "one")]).tail(Tail::Break),
        log(&[(30, "later")]),
        Answer::status(404, "NotFound"),
    ]);
    let (lines, blind) = collect(&mut facts).await;
    assert_eq!(lines, ["one", "later"]);
    assert_eq!(blind.len(), 1);
    assert_eq!(blind[0].what, "logs/a/app");
    assert!(blind[0].from.is_some() && blind[0].to.is_some());
}

#[tokio::test]
async fn a_stream_that_breaks_for_good_is_blind_to_the_end() {
    let (_book, _token, mut facts) = start(vec![
        log(&[(1, "one")]).tail(Tail::Break),
        Answer::status(404, "NotFound"),
    ]);
    let (_, blind) = collect(&mut facts).await;
    assert_eq!(blind.len(), 1);
    assert!(
        blind[0].from.is_some() && blind[0].to.is_none(),
        "{blind:?}"
    );
}

#[tokio::test]
async fn the_kubelets_words_after_the_end_of_a_container_are_neither_a_line_nor_blindness() {
    let body = "unable to retrieve container logs for containerd://0a1b\n";
    let (_book, _token, mut facts) = start(vec![
        log(&[(1, "one")]),
        Answer::ok(body),
        Answer::status(404, "NotFound"),
    ]);
    let (lines, blind) = collect(&mut facts).await;
    assert_eq!(lines, ["one"]);
    assert_eq!(blind, []);
}

#[tokio::test]
async fn a_kubelet_that_cannot_read_a_living_log_is_blindness() {
    let (_book, _token, mut facts) = start(vec![
        log(&[(1, "one")]),
        Answer::ok("failed to create fsnotify watcher: too many open files\n"),
        Answer::status(404, "NotFound"),
    ]);
    let (lines, blind) = collect(&mut facts).await;
    assert_eq!((lines, blind.len()), (vec!["one".to_owned()], 1));
}

#[tokio::test]
async fn lines_that_came_before_the_kubelets_words_were_read() {
    let body = "2026-11-24T17:00:01.000000000Z one\n\
                failed to create fsnotify watcher: too many open files\n";
    let (_book, _token, mut facts) = start(vec![Answer::ok(body), Answer::status(404, "NotFound")]);
    let (lines, blind) = collect(&mut facts).await;
    assert_eq!((lines, blind.len()), (vec!["one".to_owned()], 1));
    assert!(
        blind[0].from.is_some() && blind[0].to.is_none(),
        "{blind:?}"
    );
}

#[tokio::test]
async fn a_restarted_container_is_followed_into_its_next_instance() {
    let (book, _token, mut facts) = start(vec![
        log(&[(1, "first")]),
        // The rest of the first instance, then the second one.
        log(&[(1, "first"), (2, "its last words")]),
        log(&[(5, "second")]),
        Answer::status(404, "NotFound"),
    ]);
    until(&mut facts, line_of).await;
    book.apply(&instance(3));
    let mut lines = Vec::new();
    while lines.last().map(String::as_str) != Some("second") {
        lines.push(until(&mut facts, line_of).await);
    }
    assert_eq!(lines, ["its last words", "second"]);
}

fn instance(number: u32) -> serde_json::Value {
    let mut pod = pod("a", json!({"running": {}}));
    pod["status"]["containerStatuses"][0]["restartCount"] = json!(number);
    pod
}

#[tokio::test]
async fn a_log_that_was_never_opened_is_blindness_from_its_start() {
    let not_found = || Answer::status(404, "NotFound");
    for (answers, expected) in [
        (vec![not_found()], "the pod was gone"),
        (vec![Answer::status(500, "Broken"), not_found()], "Broken"),
        (vec![Answer::status(403, "Forbidden")], "Forbidden"),
        (
            vec![
                Answer::ok("failed to create fsnotify watcher: too many open files\n"),
                not_found(),
            ],
            "fsnotify",
        ),
    ] {
        let (_book, _token, mut facts) = start(answers);
        let (_, blind) = collect(&mut facts).await;
        assert_eq!(blind.len(), 1, "{blind:?}");
        assert_eq!((blind[0].from, blind[0].to), (None, None), "{blind:?}");
        assert!(blind[0].reason.contains(expected), "{blind:?}");
    }
}

#[tokio::test]
async fn a_log_that_was_not_opened_until_the_end_of_the_run_is_blindness() {
    let (_book, token, mut facts) = start(Vec::new());
    token.cancel();
    let (_, blind) = collect(&mut facts).await;
    assert_eq!(blind.len(), 1, "{blind:?}");
    assert_eq!((blind[0].from, blind[0].to), (None, None), "{blind:?}");
}

#[tokio::test]
async fn a_container_that_says_nothing_has_a_log_that_was_read() {
    let (_book, _token, mut facts) = start(vec![log(&[]), Answer::status(404, "NotFound")]);
    let (lines, blind) = collect(&mut facts).await;
    assert_eq!((lines.len(), blind), (0, Vec::new()));
}

#[tokio::test]
async fn an_instance_that_was_missed_between_two_is_blindness() {
    let (book, _token, mut facts) = start(vec![
        log(&[(1, "first")]),
        log(&[(1, "first")]),
        // All of the third instance, then the fourth; the second is nowhere.
        log(&[(5, "third")]),
        log(&[(9, "fourth")]),
        Answer::status(404, "NotFound"),
    ]);
    until(&mut facts, line_of).await;
    book.apply(&instance(5));
    let (lines, blind) = collect(&mut facts).await;
    assert_eq!(lines, ["third", "fourth"]);
    assert_eq!(blind.len(), 1, "{blind:?}");
    assert!(
        blind[0].from.is_some() && blind[0].from <= blind[0].to,
        "{blind:?}"
    );
}

#[tokio::test]
async fn a_new_instance_whose_log_was_never_opened_is_blindness_from_the_end_of_the_one_before() {
    let (book, _token, mut facts) = start(vec![
        log(&[(1, "first")]),
        log(&[(1, "first")]),
        // Neither the rest of it nor the next one.
        Answer::status(404, "NotFound"),
        Answer::status(404, "NotFound"),
    ]);
    until(&mut facts, line_of).await;
    book.apply(&instance(3));
    let (_, blind) = collect(&mut facts).await;
    assert_eq!(blind.len(), 1, "{blind:?}");
    assert!(
        blind[0].from.is_some() && blind[0].to.is_none(),
        "{blind:?}"
    );
}

#[tokio::test]
async fn the_rest_of_an_instance_that_nobody_keeps_any_more_is_blindness() {
    let (book, _token, mut facts) = start(vec![
        log(&[(1, "first")]).tail(Tail::Break),
        Answer::ok("failed to create fsnotify watcher: too many open files\n"),
        Answer::status(400, "BadRequest"),
        log(&[(9, "second")]),
        Answer::status(404, "NotFound"),
    ]);
    until(&mut facts, line_of).await;
    book.apply(&instance(3));
    let (lines, blind) = collect(&mut facts).await;
    assert_eq!(lines, ["second"]);
    assert_eq!(blind.len(), 1, "{blind:?}");
    assert!(
        blind[0].from.is_some() && blind[0].to.is_some(),
        "{blind:?}"
    );
}
