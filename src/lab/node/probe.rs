//! When is a container ready, alive, started?

use super::action::{Action, Inside, action};
use super::worker::Signal;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// The kinds of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    Readiness,
    Liveness,
    Startup,
}

impl ProbeKind {
    /// Its field in a container.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::Readiness => "readinessProbe",
            Self::Liveness => "livenessProbe",
            Self::Startup => "startupProbe",
        }
    }

    /// Its name in Events.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
            Self::Startup => "Startup",
        }
    }
}

/// What a probe tells its pod's worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Probed {
    /// It failed once more, with these words.
    Failed(String),
    /// Its result is now this: the threshold was reached.
    Result(bool),
}

/// A probe of a container instance.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) kind: ProbeKind,
    container: String,
    instance: u64,
    action: Action,
    delay: Duration,
    period: Duration,
    timeout: Duration,
    thresholds: Thresholds,
}

/// How many results in a row change the state.
#[derive(Clone, Debug, PartialEq)]
struct Thresholds {
    success: u64,
    failure: u64,
    last: Option<bool>,
    run: u64,
    state: Option<bool>,
}

impl Thresholds {
    /// Takes one result; gives the state when it has changed, or was never told.
    fn take(&mut self, success: bool) -> Option<bool> {
        self.run = if self.last == Some(success) {
            self.run + 1
        } else {
            1
        };
        self.last = Some(success);
        let needed = if success { self.success } else { self.failure };
        if self.run < needed || self.state == Some(success) {
            return None;
        }
        self.state = Some(success);
        Some(success)
    }
}

impl Probe {
    /// The probe of this kind that the container has.
    pub(crate) fn of(
        kind: ProbeKind,
        container: &Value,
        instance: u64,
        pod_ip: &str,
    ) -> Option<Self> {
        let probe = &container[kind.field()];
        let number = |field: &str, default: u64| probe[field].as_u64().unwrap_or(default);
        Some(Self {
            kind,
            container: container["name"].as_str()?.to_owned(),
            instance,
            action: action(probe, container, pod_ip)?,
            delay: Duration::from_secs(number("initialDelaySeconds", 0)),
            period: Duration::from_secs(number("periodSeconds", 10).max(1)),
            timeout: Duration::from_secs(number("timeoutSeconds", 1).max(1)),
            thresholds: Thresholds {
                success: number("successThreshold", 1),
                failure: number("failureThreshold", 3),
                last: None,
                run: 0,
                state: None,
            },
        })
    }

    /// Probes until `stop`; a startup probe until its first result.
    pub(crate) async fn run(
        mut self,
        inside: Inside,
        signals: mpsc::Sender<Signal>,
        stop: CancellationToken,
    ) {
        let probing = async {
            // The first probe comes when the kubelet has seen that the container runs.
            sleep(
                self.delay
                    .max(Duration::from_millis(rand::random_range(5..40))),
            )
            .await;
            loop {
                let next = Instant::now() + self.period;
                let result = self.action.ask(&inside, self.timeout).await;
                let success = result.is_ok();
                if let Err(text) = result
                    && self.tell(&signals, Probed::Failed(text)).await.is_err()
                {
                    return;
                }
                if let Some(state) = self.thresholds.take(success) {
                    let told = self.tell(&signals, Probed::Result(state)).await;
                    if told.is_err() || self.kind == ProbeKind::Startup {
                        return;
                    }
                }
                sleep_until(next).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = probing => {}
        }
    }

    async fn tell(&self, signals: &mpsc::Sender<Signal>, probed: Probed) -> Result<(), ()> {
        let signal = Signal::Probed {
            container: self.container.clone(),
            instance: self.instance,
            kind: self.kind,
            probed,
        };
        signals.send(signal).await.map_err(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_changes_only_after_as_many_results_in_a_row_as_its_threshold() {
        let mut thresholds = Thresholds {
            success: 1,
            failure: 3,
            last: None,
            run: 0,
            state: None,
        };
        let results = [
            false, true, true, false, false, true, false, false, false, false, true,
        ];
        let changes: Vec<_> = results
            .iter()
            .map(|result| thresholds.take(*result))
            .collect();
        let none = None;
        assert_eq!(
            changes,
            [
                none,
                Some(true),
                none,
                none,
                none,
                none,
                none,
                none,
                Some(false),
                none,
                Some(true)
            ]
        );
    }
}
