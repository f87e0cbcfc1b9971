//! Which pods did a disruption budget cover, and when?
//!
//! [`Budgets::covers`] says so only where budgets were seen: a live run watches them unless it may
//! not; a capture has them where it has their watch. Otherwise it is not known.

use super::event::{Change, EventKind, Resource};
use super::object::{list, text};
use super::pods::PodLife;
use super::stamp::{Interval, RunOffset};
use super::store::Origin;
use super::timeline::Timeline;
use serde_json::Value;
use std::collections::BTreeMap;

/// The budgets of the namespace over the time of the record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budgets {
    /// Name, arrival, selector; without a selector it is gone or selects nothing.
    changes: Vec<(String, RunOffset, Option<Value>)>,
    /// They are watched, but for these spans.
    seen: bool,
    gaps: Vec<Interval>,
}

impl Budgets {
    /// What the record shows of them.
    pub fn of(timeline: &Timeline) -> Self {
        let mut budgets = Self {
            seen: timeline.run.origin == Origin::Live,
            ..Self::default()
        };
        for event in &timeline.events {
            match &event.kind {
                EventKind::Object {
                    resource: Resource::PodDisruptionBudgets,
                    change,
                    object,
                } => {
                    budgets.seen = true;
                    let Some(name) = text(object, "/metadata/name") else {
                        continue;
                    };
                    let selector = object
                        .pointer("/spec/selector")
                        .filter(|selector| *change != Change::Deleted && !selector.is_null());
                    let change = (name.to_owned(), event.at.hi, selector.cloned());
                    budgets.changes.push(change);
                }
                EventKind::Blind(gap) if gap.what == "poddisruptionbudgets" => {
                    budgets.gaps.push(Interval {
                        lo: gap.from.unwrap_or(RunOffset(i64::MIN)),
                        hi: gap.to.unwrap_or(RunOffset(i64::MAX)),
                    });
                }
                _ => {}
            }
        }
        budgets
    }

    /// Some budget covered the pod at that instant; `None`: budgets were not seen then.
    pub fn covers(&self, pod: &PodLife, at: RunOffset) -> Option<bool> {
        let blind = self.gaps.iter().any(|gap| gap.lo <= at && at <= gap.hi);
        if !self.seen || blind || pod.labels.is_empty() {
            return None;
        }
        let mut current: BTreeMap<&str, &Option<Value>> = BTreeMap::new();
        // What was listed at the start held before, too.
        for (name, seen, selector) in &self.changes {
            if *seen <= at || !current.contains_key(name.as_str()) {
                current.insert(name, selector);
            }
        }
        let mut selectors = current.into_values().flatten();
        Some(selectors.any(|selector| selects(selector, &pod.labels)))
    }
}

/// A label selector as it stands in a spec; an empty one selects everything.
fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    let equal = wanted
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    equal && list(selector, "/matchExpressions").all(|demand| holds(demand, labels))
}

fn holds(demand: &Value, labels: &BTreeMap<String, String>) -> bool {
    let own = text(demand, "/key").and_then(|key| labels.get(key));
    let named =
        || own.is_some_and(|own| list(demand, "/values").any(|value| value.as_str() == Some(own)));
    match text(demand, "/operator") {
        Some("In") => named(),
        Some("NotIn") => !named(),
        Some("Exists") => own.is_some(),
        Some("DoesNotExist") => own.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_selects_by_labels_and_expressions_and_an_empty_one_everything() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        for (selector, selected) in [
            (json!({}), true),
            (json!({"matchLabels": {"app": "web"}}), true),
            (json!({"matchLabels": {"app": "db"}}), false),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "web"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["web"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
                true,
            ),
        ] {
            assert_eq!(selects(&selector, &labels), selected, "{selector}");
        }
    }
}
