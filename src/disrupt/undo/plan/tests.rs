//! The plan by cases, and against a model of a cluster with random crashes.

use super::*;
use crate::disrupt::change::RESTARTED_AT;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

fn object() -> ObjectRef {
    ObjectRef {
        name: "deployment/demo".to_owned(),
        path: "/apis/apps/v1/namespaces/shop/deployments/demo".to_owned(),
        uid: "d1".to_owned(),
    }
}

pub(in crate::disrupt::undo) fn annotation() -> Field {
    Field::TemplateAnnotation {
        key: RESTARTED_AT.to_owned(),
    }
}

pub(in crate::disrupt::undo) fn image() -> Field {
    Field::Image {
        container: "app".to_owned(),
    }
}

fn record(change: u64, entry: Entry) -> Record {
    Record {
        version: 1,
        change,
        at: Timestamp::UNIX_EPOCH,
        entry,
    }
}

pub(in crate::disrupt::undo) fn intend(
    number: u64,
    purpose: Purpose,
    field: Field,
    before: Value,
    after: Value,
) -> Record {
    let change = Change {
        purpose,
        object: object(),
        field,
        before,
        after,
        resource_version: "1".to_owned(),
    };
    record(number, Entry::Intend(Box::new(change)))
}

pub(in crate::disrupt::undo) fn done(number: u64) -> Record {
    let resource_version = None;
    record(number, Entry::Done { resource_version })
}

pub(in crate::disrupt::undo) fn not_made(number: u64) -> Record {
    let reason = "409".to_owned();
    record(number, Entry::NotMade { reason })
}

pub(in crate::disrupt::undo) const STEP: Purpose = Purpose::Step { index: 0 };

pub(in crate::disrupt::undo) fn scaled(number: u64, before: u32, after: u32) -> Record {
    intend(number, STEP, Field::Replicas, json!(before), json!(after))
}

fn decision_for(records: &[Record], seen: Seen) -> Decision {
    let planned = plan(records, |_, _| seen.clone());
    assert_eq!(planned.len(), 1);
    planned[0].decision.clone()
}

fn value(value: Value) -> Seen {
    let empty = false;
    Seen::Value { value, empty }
}

fn restore(from: u32, to: u32) -> Decision {
    Decision::Restore {
        from: json!(from),
        to: json!(to),
    }
}

#[test]
fn each_journal_and_state_has_its_decision() {
    let undone = intend(1, Purpose::Undo, Field::Replicas, json!(1), json!(3));
    let foreign = Decision::Refuse(
        "it was set to `1` here, and is `5` now: somebody else has changed it".to_owned(),
    );
    let cases: Vec<(&str, Vec<Record>, Seen, Decision)> = vec![
        (
            "a change that was made",
            vec![scaled(0, 3, 1), done(0)],
            value(json!(1)),
            restore(1, 3),
        ),
        (
            "an intent that was carried out before the crash",
            vec![scaled(0, 3, 1)],
            value(json!(1)),
            restore(1, 3),
        ),
        (
            "an intent that was not",
            vec![scaled(0, 3, 1)],
            value(json!(3)),
            Decision::Clean,
        ),
        (
            "somebody else's value",
            vec![scaled(0, 3, 1), done(0)],
            value(json!(5)),
            foreign.clone(),
        ),
        (
            "two steps are one way back",
            vec![scaled(0, 3, 1), done(0), scaled(1, 1, 4), done(1)],
            value(json!(4)),
            restore(4, 3),
        ),
        (
            "a second step that was not made",
            vec![scaled(0, 3, 1), done(0), scaled(1, 1, 4)],
            value(json!(1)),
            restore(1, 3),
        ),
        (
            "a refused change is none",
            vec![scaled(0, 3, 1), not_made(0), scaled(1, 3, 2), done(1)],
            value(json!(2)),
            restore(2, 3),
        ),
        (
            "an earlier value of ours that somebody else has set again",
            vec![scaled(0, 3, 1), done(0), scaled(1, 1, 4), done(1)],
            value(json!(1)),
            Decision::Refuse(
                "it was set to `4` here, and is `1` now: somebody else has changed it".to_owned(),
            ),
        ),
        (
            "somebody else's value between two steps is what comes back",
            vec![scaled(0, 3, 1), done(0), scaled(1, 5, 2), done(1)],
            value(json!(2)),
            restore(2, 5),
        ),
        (
            "undone before, changed by its owner since",
            vec![scaled(0, 3, 1), done(0), undone.clone(), done(1)],
            value(json!(5)),
            Decision::Clean,
        ),
        (
            "undone before, set to what the step set by its owner since",
            vec![scaled(0, 3, 1), done(0), undone.clone(), done(1)],
            value(json!(1)),
            Decision::Clean,
        ),
        (
            "an undo that crashed before its call",
            vec![scaled(0, 3, 1), done(0), undone.clone()],
            value(json!(1)),
            restore(1, 3),
        ),
        (
            "an undo that crashed after its call",
            vec![scaled(0, 3, 1), done(0), undone],
            value(json!(3)),
            Decision::Clean,
        ),
        (
            "an object that is gone",
            vec![scaled(0, 3, 1), done(0)],
            Seen::Gone,
            Decision::Leave("the object no longer exists".to_owned()),
        ),
        (
            "an object of the same name",
            vec![scaled(0, 3, 1), done(0)],
            Seen::Replaced,
            Decision::Leave("the object was deleted and made anew meanwhile".to_owned()),
        ),
    ];
    for (what, records, seen, expected) in cases {
        assert_eq!(decision_for(&records, seen), expected, "{what}");
    }
}

#[test]
fn a_restart_leaves_its_annotation_unless_its_removal_restarts_nothing() {
    let restarted = || {
        let stamp = json!("2026-11-24T17:00:00Z");
        vec![intend(0, STEP, annotation(), Value::Null, stamp), done(0)]
    };
    let now = |empty| Seen::Value {
        value: json!("2026-11-24T17:00:00Z"),
        empty,
    };
    assert!(matches!(
        decision_for(&restarted(), now(false)),
        Decision::Leave(_)
    ));
    assert!(matches!(
        decision_for(&restarted(), now(true)),
        Decision::Restore { .. }
    ));
    let mut records = restarted();
    records.push(intend(1, STEP, image(), json!("app:1"), json!("app:2")));
    records.push(done(1));
    let planned = plan(&records, |_, field| match field {
        Field::Image { .. } => value(json!("app:2")),
        _ => now(false),
    });
    let group = next_group(&planned).expect("both go back");
    assert_eq!(group.len(), 2, "one patch, so that there is one rollout");
}

/// A cluster of one workload.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    replicas: Value,
    image: Value,
    annotation: Value,
}

impl Model {
    fn slot(&mut self, field: &Field) -> &mut Value {
        match field {
            Field::Replicas => &mut self.replicas,
            Field::Image { .. } => &mut self.image,
            _ => &mut self.annotation,
        }
    }

    fn see(&self, field: &Field) -> Seen {
        Seen::Value {
            value: self.clone().slot(field).clone(),
            empty: self.replicas == json!(0),
        }
    }
}

/// How far a change comes before the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Killed {
    BeforeIntent,
    AfterIntent,
    AfterCall,
    Never,
}

fn killed() -> impl Strategy<Value = Killed> {
    prop_oneof![
        Just(Killed::BeforeIntent),
        Just(Killed::AfterIntent),
        Just(Killed::AfterCall),
        Just(Killed::Never),
    ]
}

fn operation() -> impl Strategy<Value = (Field, Value)> {
    prop_oneof![
        (0u32..5).prop_map(|to| (Field::Replicas, json!(to))),
        (0u32..3).prop_map(|tag| (image(), json!(format!("app:{tag}")))),
        (0u32..9).prop_map(|second| (annotation(), json!(format!("12:00:0{second}")))),
    ]
}

/// Carries one change out as far as `killed` allows; gives whether the process still lives.
fn carry(
    model: &mut Model,
    journal: &mut Vec<Record>,
    purpose: Purpose,
    set: &[(Field, Value)],
    killed: Killed,
) -> bool {
    if killed == Killed::BeforeIntent {
        return false;
    }
    let mut numbers = Vec::new();
    for (field, after) in set {
        let before = model.slot(field).clone();
        let number = u64::try_from(journal.len()).unwrap();
        numbers.push(number);
        journal.push(intend(
            number,
            purpose,
            field.clone(),
            before,
            after.clone(),
        ));
    }
    if killed == Killed::AfterIntent {
        return false;
    }
    for (field, after) in set {
        *model.slot(field) = after.clone();
    }
    if killed == Killed::AfterCall {
        return false;
    }
    journal.extend(numbers.into_iter().map(done));
    true
}

/// Undoes until nothing is left to do or the process is killed in patch number `kill.0`.
fn undo_model(model: &mut Model, journal: &mut Vec<Record>, kill: Option<(usize, Killed)>) {
    for round in 0..10 {
        let planned = plan(journal, |_, field| model.see(field));
        let Some(group) = next_group(&planned) else {
            return;
        };
        let set: Vec<(Field, Value)> = group
            .iter()
            .map(|item| match &item.decision {
                Decision::Restore { to, .. } => (item.field.clone(), to.clone()),
                other => panic!("{other:?} in a group"),
            })
            .collect();
        let killed = match kill {
            Some((at, killed)) if at == round => killed,
            _ => Killed::Never,
        };
        if !carry(model, journal, Purpose::Undo, &set, killed) {
            return;
        }
    }
    panic!("the undo does not end");
}

proptest! {
    #[test]
    fn restore_gives_the_former_state_after_any_crash(
        operations in prop::collection::vec(operation(), 1..7),
        last in killed(),
        crash in (0usize..3, killed()),
    ) {
        let former = Model { replicas: json!(3), image: json!("app:0"), annotation: Value::Null };
        let (mut model, mut journal) = (former.clone(), Vec::new());
        for (index, (field, after)) in operations.iter().enumerate() {
            if *model.slot(field) == *after {
                continue;
            }
            let killed = if index + 1 == operations.len() { last } else { Killed::Never };
            carry(&mut model, &mut journal, STEP, &[(field.clone(), after.clone())], killed);
        }
        undo_model(&mut model, &mut journal, Some(crash));
        undo_model(&mut model, &mut journal, None);
        prop_assert_eq!(&model.replicas, &former.replicas);
        prop_assert_eq!(&model.image, &former.image);
        let planned = plan(&journal, |_, field| model.see(field));
        for item in &planned {
            match &item.decision {
                Decision::Leave(_) => prop_assert_eq!(&item.field, &annotation()),
                other => prop_assert_eq!(other, &Decision::Clean),
            }
        }
        let named = planned.iter().any(|item| matches!(item.decision, Decision::Leave(_)));
        prop_assert!(model.annotation == former.annotation || named);
    }

    #[test]
    fn what_somebody_else_has_set_is_never_overwritten(
        operations in prop::collection::vec(operation(), 1..7),
        last in killed(),
        whose in prop_oneof![Just(Field::Replicas), Just(image())],
    ) {
        let (mut model, mut journal) = (
            Model { replicas: json!(3), image: json!("app:0"), annotation: Value::Null },
            Vec::new(),
        );
        for (index, (field, after)) in operations.iter().enumerate() {
            let killed = if index + 1 == operations.len() { last } else { Killed::Never };
            carry(&mut model, &mut journal, STEP, &[(field.clone(), after.clone())], killed);
        }
        let foreign = json!("theirs");
        *model.slot(&whose) = foreign.clone();
        undo_model(&mut model, &mut journal, None);
        prop_assert_eq!(model.slot(&whose).clone(), foreign);
    }
}
