use super::*;
use crate::evidence::EndpointChange;

const fn at(second: i64) -> RunOffset {
    RunOffset(second * 1_000_000_000)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Endpoints of these names that are ready from then on, on these nodes, meant for these zones.
fn history(endpoints: &[(&str, i64, &str, &[&str])]) -> EndpointHistory {
    let mut history = EndpointHistory::default();
    let ready = EndpointState {
        ready: true,
        serving: true,
        ..EndpointState::GONE
    };
    for (uid, since, node, zones) in endpoints {
        let seen = at(*since);
        let change = EndpointChange {
            seen,
            event: 0,
            state: ready,
        };
        history.pods.insert((*uid).to_owned(), vec![change]);
        history.nodes.insert((*uid).to_owned(), (*node).to_owned());
        let hints = Hints {
            nodes: BTreeSet::new(),
            zones: names(zones),
        };
        history.hints.insert((*uid).to_owned(), vec![(seen, hints)]);
        history.totals.push((seen, 0, 0));
    }
    history.totals.sort_unstable();
    history
}

#[test]
fn an_endpoint_counts_for_its_node() {
    let mut history = history(&[("a", 1, "node1", &[]), ("b", 2, "node2", &[])]);
    let own = |history: &EndpointHistory| history.totals_on("node1");
    assert_eq!(own(&history), [(at(1), 1, 0), (at(2), 1, 0)]);
    history.nodes.remove("b");
    assert_eq!(
        own(&history),
        [(at(1), 1, 0), (at(2), 2, 0)],
        "it may be there"
    );
}

#[test]
fn hints_are_followed_while_all_have_some_and_one_is_meant_for_the_client() {
    let (east, west): (&[&str], &[&str]) = (&["east"], &["west"]);
    for (endpoints, hinted, expected) in [
        (
            vec![("a", 1, "n", east), ("b", 1, "n", west)],
            true,
            vec![("a", at(1))],
        ),
        (
            vec![("a", 1, "n", west), ("b", 1, "n", west)],
            true,
            vec![("a", at(1)), ("b", at(1))],
        ),
        // Until `c` came without a hint.
        (
            vec![("a", 1, "n", east), ("b", 1, "n", west), ("c", 3, "n", &[])],
            true,
            vec![("a", at(1)), ("b", at(3)), ("c", at(3))],
        ),
        (
            vec![("a", 1, "n", &[][..]), ("b", 1, "n", west)],
            false,
            vec![("a", at(1)), ("b", at(1))],
        ),
    ] {
        let history = history(&endpoints);
        let expected = expected.iter().map(|(uid, at)| ((*uid).to_owned(), *at));
        let found = history.meant_since("node1", Some("east"));
        assert_eq!(found, expected.collect(), "{endpoints:?}");
        assert_eq!(history.hinted(), hinted, "{endpoints:?}");
    }
}

#[test]
fn hints_for_nodes_come_before_those_for_zones() {
    let mut history = history(&[("a", 1, "n", &["east"]), ("b", 1, "n", &["east"])]);
    for (uid, node) in [("a", "node1"), ("b", "node2")] {
        let hints = history.hints.get_mut(uid).expect("it has hints");
        hints[0].1.nodes = names(&[node]);
    }
    let found = |node: &str| {
        let since = history.meant_since(node, Some("east"));
        since.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(found("node1"), ["a"]);
    assert_eq!(found("node3"), ["a", "b"], "none is meant for that node");
}
