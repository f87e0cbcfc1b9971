//! Are arrivals what the plan says?

use super::super::schedule::{Mix, Schedule, Wish};
use super::{class, plan};
use crate::scenario::{Arrival, LoadPlan, Stage};
use std::time::Duration;

fn stages(stages: &[(f64, Option<u64>)]) -> LoadPlan {
    let mut plan = plan(1.0, 1);
    plan.stages = stages
        .iter()
        .map(|(rate, seconds)| Stage {
            rate: *rate,
            duration: seconds.map(Duration::from_secs),
        })
        .collect();
    plan
}

fn before(plan: &LoadPlan, seconds: f64) -> Vec<f64> {
    Schedule::new(plan, 0, 1, 7)
        .map(|offset| offset.as_secs_f64())
        .take_while(|offset| *offset < seconds)
        .collect()
}

#[test]
fn constant_arrivals_are_evenly_spaced_and_the_last_stage_goes_on() {
    let plan = stages(&[(10.0, Some(1)), (100.0, Some(1)), (4.0, Some(1))]);
    let arrivals = before(&plan, 12.0);
    let within = |from: f64, to: f64| {
        arrivals
            .iter()
            .filter(|at| **at >= from && **at < to)
            .count()
    };
    assert_eq!(within(0.0, 1.0), 10);
    assert_eq!(within(1.0, 2.0), 100);
    assert_eq!(within(2.0, 3.0), 4);
    assert_eq!(
        within(3.0, 12.0),
        36,
        "the last stage's duration is not its end"
    );
    let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
    for (index, gap) in gaps.take(9).enumerate() {
        assert!((gap - 0.1).abs() < 1e-6, "gap {index} is {gap}");
    }
}

#[test]
fn a_stage_of_rate_zero_is_silent_and_the_next_one_starts_on_time() {
    let plan = stages(&[(5.0, Some(2)), (0.0, Some(3)), (5.0, None)]);
    let arrivals = before(&plan, 6.0);
    assert_eq!(arrivals.len(), 15);
    assert!(
        arrivals.iter().all(|at| *at < 2.0 || *at >= 5.0),
        "{arrivals:?}"
    );
    let plan = stages(&[(5.0, Some(2)), (0.0, None)]);
    assert_eq!(Schedule::new(&plan, 0, 1, 7).count(), 10, "silence ends it");
}

#[test]
fn fractions_of_an_arrival_are_carried_over_the_stages() {
    // 2.5 arrivals in the first stage: the third one is late by half a gap of the second.
    let plan = stages(&[(2.5, Some(1)), (1.0, None)]);
    let arrivals = before(&plan, 3.0);
    let expected = [0.0, 0.4, 0.8, 1.5, 2.5];
    assert_eq!(arrivals.len(), expected.len());
    for (arrival, expected) in arrivals.iter().zip(expected) {
        assert!((arrival - expected).abs() < 1e-6, "{arrivals:?}");
    }
}

#[test]
fn lanes_together_are_the_schedule_of_one() {
    let plan = stages(&[(7.0, Some(2)), (31.0, None)]);
    let whole: Vec<Duration> = Schedule::new(&plan, 0, 1, 7).take(300).collect();
    let mut split: Vec<Duration> = (0..3)
        .flat_map(|lane| Schedule::new(&plan, lane, 3, 7).take(100))
        .collect();
    split.sort_unstable();
    assert_eq!(whole, split);
}

#[test]
fn poisson_gaps_are_exponential_with_the_rates_mean() {
    let mut plan = stages(&[(1_000.0, None)]);
    plan.arrival = Arrival::Poisson;
    for lanes in [1_usize, 2] {
        let gaps: Vec<f64> = Schedule::new(&plan, 0, lanes, 11)
            .take(100_000)
            .scan(0.0, |last, at| {
                let at = at.as_secs_f64();
                let gap = at - *last;
                *last = at;
                Some(gap)
            })
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let expected = lanes as f64 / 1_000.0;
        // The mean of 100,000 exponential gaps has a standard error of 0.3 %.
        assert!((mean / expected - 1.0).abs() < 0.02, "{mean}");
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(
            (variance.sqrt() / expected - 1.0).abs() < 0.03,
            "{variance}"
        );
        let longer = gaps.iter().filter(|gap| **gap > expected).count() as f64 / gaps.len() as f64;
        assert!((longer - (-1.0_f64).exp()).abs() < 0.01, "{longer}");
    }
}

#[test]
fn kinds_and_classes_get_their_shares_and_every_class_meets_both_kinds() {
    let mut plan = plan(1.0, 1);
    plan.connections.new = 0.1;
    plan.requests = ["fast", "slow"].map(class).to_vec();
    plan.requests[0].weight = 95.0;
    plan.requests[1].weight = 5.0;
    let mut mix = Mix::new(&plan);
    let dealt: Vec<(Wish, usize)> = (0..10_000).map(|_| mix.deal()).collect();
    let count = |wish, class| dealt.iter().filter(|one| **one == (wish, class)).count();
    assert_eq!(count(Wish::Own, 0), 950);
    assert_eq!(count(Wish::Own, 1), 50);
    assert_eq!(count(Wish::Kept, 0), 8_550);
    assert_eq!(count(Wish::Kept, 1), 450);
    // Evenly, not in runs: every twentieth of a kind is slow.
    let slow: Vec<usize> = dealt
        .iter()
        .filter(|(wish, _)| *wish == Wish::Own)
        .enumerate()
        .filter(|(_, (_, class))| *class == 1)
        .map(|(index, _)| index)
        .collect();
    assert!(
        slow.windows(2).all(|pair| pair[1] - pair[0] == 20),
        "{slow:?}"
    );
}
