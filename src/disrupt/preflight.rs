//! May this plan be carried out here and now?
//!
//! Everything is checked before the first request, and everything that stands in the way is told at
//! once. Nothing is written. What passes by itself, pods of an earlier rollout that still end, is
//! waited for.

mod leftovers;

use super::production::looks_like_production;
use crate::cluster::rights::{self, NODE_RIGHTS, Names, Need, RIGHTS, Right};
use crate::cluster::{
    Cluster, Error, LockError, LockHolder, ResolvedTarget, RunLock, TargetError, WorkloadView,
};
use crate::error::Chain;
use crate::scenario::{Action, Plan, WorkloadKind};

/// The namespace of the leases by which nodes show that they live.
const NODE_LEASES: &str = "kube-node-lease";

/// A cluster and a target that a plan fits.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// The target with its objects.
    pub target: ResolvedTarget,
    /// Worth telling: rights that would give better evidence.
    pub notes: Vec<String>,
}

/// What stands in the way of a plan.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The cluster does not answer as it should.
    #[error("preflight: {source}")]
    Cluster {
        /// Why.
        #[from]
        source: Error,
    },
    /// One or more things stand in the way.
    #[error("preflight found {} in the way:\n{}", counted(obstacles.len()), listed(obstacles))]
    Obstacles {
        /// All of them.
        obstacles: Vec<Obstacle>,
    },
}

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Whose fault it is.
    pub kind: ObstacleKind,
    /// What it is, with its remedy.
    pub text: String,
}

/// Whose fault an obstacle is; it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObstacleKind {
    /// The scenario or the command line.
    Usage,
    /// The cluster: a right is missing, the workload is not at rest, somebody else is at work.
    Cluster,
}

impl PreflightError {
    /// The scenario or the command line is at fault, and not the cluster.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Cluster { .. } => false,
            Self::Obstacles { obstacles } => obstacles
                .iter()
                .all(|obstacle| obstacle.kind == ObstacleKind::Usage),
        }
    }
}

fn counted(number: usize) -> String {
    match number {
        1 => "one thing".to_owned(),
        many => format!("{many} things"),
    }
}

fn listed(obstacles: &[Obstacle]) -> String {
    let texts = obstacles.iter().map(|obstacle| {
        let text = obstacle.text.replace('\n', "\n  ");
        format!("- {text}")
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// Checks everything that can be checked without writing.
///
/// `run` is the id of the run that is to start; `yes_production` is the user's consent to names that
/// look like production; what is waited for goes to `tell`.
pub async fn preflight(
    cluster: &Cluster,
    plan: &Plan,
    run: &str,
    yes_production: bool,
    tell: impl Fn(&str),
) -> Result<Preflight, PreflightError> {
    let mut obstacles = Vec::new();
    obstacles.extend(production(cluster, yes_production));
    let names = Names::of(plan);
    let missing = rights::missing(cluster, &rights::required(plan), &names).await?;
    if !missing.is_empty() {
        obstacles.push(missing_rights(cluster, &missing));
    }
    let target = match ResolvedTarget::resolve(cluster, &plan.target).await {
        Ok(target) => target,
        Err(error) => {
            // What we have no right to read is told by the missing right.
            let forbidden =
                matches!(&error, TargetError::Cluster { source } if source.code() == Some(403));
            if !forbidden {
                obstacles.push(unresolved(error)?);
            }
            return Err(PreflightError::Obstacles { obstacles });
        }
    };
    obstacles.extend(unfit_steps(plan, &target));
    obstacles.extend(unrest(cluster, plan).await?);
    let mut notes = Vec::new();
    match holder(cluster, plan, run).await? {
        Some(holder) if holder.expired && holder.open.is_some() => obstacles.push(Obstacle {
            kind: ObstacleKind::Cluster,
            text: LockError::OpenChanges { holder }.to_string(),
        }),
        Some(holder) if holder.expired => notes.push(format!(
            "run `{0}` died without giving back its lease; this run takes it over\n\
             hint: what it may have changed is undone by `lastwatch restore runs/{0}`",
            holder.run
        )),
        Some(holder) => obstacles.push(Obstacle {
            kind: ObstacleKind::Cluster,
            text: LockError::Held { holder }.to_string(),
        }),
        None => {}
    }
    if !obstacles.is_empty() {
        return Err(PreflightError::Obstacles { obstacles });
    }
    let target = settled(cluster, plan, target, tell).await?;
    notes.extend(wishes(cluster).await?);
    Ok(Preflight { target, notes })
}

fn production(cluster: &Cluster, yes: bool) -> Option<Obstacle> {
    if yes {
        return None;
    }
    let named = [
        ("context", cluster.context()),
        ("namespace", cluster.namespace()),
    ];
    let (what, name, word) = named
        .into_iter()
        .find_map(|(what, name)| Some((what, name, looks_like_production(name)?)))?;
    Some(Obstacle {
        kind: ObstacleKind::Usage,
        text: format!(
            "{what} `{name}` looks like production (`{word}`)\n\
             hint: if it is meant, say so with `--yes-production`"
        ),
    })
}

fn missing_rights(cluster: &Cluster, missing: &[Right]) -> Obstacle {
    let lines: Vec<String> = missing
        .iter()
        .map(|right| {
            let group = match right.group {
                "" => String::new(),
                group => format!(".{group}"),
            };
            format!("{} {}{group}", right.verb, right.resource)
        })
        .collect();
    Obstacle {
        kind: ObstacleKind::Cluster,
        text: format!(
            "{} missing in namespace `{}`: {}\n\
             hint: bind a Role that grants them:\n{}",
            match missing.len() {
                1 => "a right is".to_owned(),
                many => format!("{many} rights are"),
            },
            cluster.namespace(),
            lines.join(", "),
            rights::role_yaml(cluster.namespace(), missing).trim_end()
        ),
    }
}

fn unresolved(error: TargetError) -> Result<Obstacle, Error> {
    match error {
        TargetError::Cluster { source } => Err(source),
        other => Ok(Obstacle {
            kind: ObstacleKind::Usage,
            text: Chain(&other).to_string(),
        }),
    }
}

/// Steps that a workload of this kind, or with so few pods, cannot do.
fn unfit_steps(plan: &Plan, target: &ResolvedTarget) -> Vec<Obstacle> {
    let kind = target.workload.kind;
    let mut replicas = i64::from(target.replicas);
    let mut obstacles = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let fault = match &step.action {
            action if kind == WorkloadKind::Job && action.disrupts() => {
                Some("a Job has no rollout to disturb".to_owned())
            }
            Action::Scale { .. } if kind == WorkloadKind::DaemonSet => {
                Some("a DaemonSet cannot be scaled".to_owned())
            }
            Action::Scale { to } => {
                replicas = i64::from(*to);
                None
            }
            Action::DeletePod { pods, .. } | Action::Evict { pods } => (i64::from(*pods)
                > replicas)
                .then(|| format!("{pods} pods are to go, and there are {replicas} by then")),
            Action::SetImage { container, .. } => {
                super::rollout::choose_container(&target.containers, container.as_deref()).err()
            }
            Action::RollingRestart | Action::Wait { .. } => None,
        };
        obstacles.extend(fault.map(|fault| Obstacle {
            kind: ObstacleKind::Usage,
            text: format!("steps[{index}] ({}): {fault}", step.action.name()),
        }));
    }
    obstacles
}

/// The target once no pod of an earlier rollout is left of it. A rollout that begins meanwhile stands
/// in the way like one that was under way before.
async fn settled(
    cluster: &Cluster,
    plan: &Plan,
    target: ResolvedTarget,
    tell: impl Fn(&str),
) -> Result<ResolvedTarget, PreflightError> {
    if !target.pods.iter().any(|pod| pod.terminating) {
        return Ok(target);
    }
    let held = leftovers::wait(cluster, &target, tell).await?;
    let obstacles: Vec<Obstacle> = unrest(cluster, plan)
        .await?
        .or_else(|| held.map(|held| restless(plan, &held)))
        .into_iter()
        .collect();
    if !obstacles.is_empty() {
        return Err(PreflightError::Obstacles { obstacles });
    }
    match ResolvedTarget::resolve(cluster, &plan.target).await {
        Ok(target) => Ok(target),
        Err(error) => Err(PreflightError::Obstacles {
            obstacles: vec![unresolved(error)?],
        }),
    }
}

/// Why the workload is not in a state from which a run can start, but for pods that still end.
async fn unrest(cluster: &Cluster, plan: &Plan) -> Result<Option<Obstacle>, Error> {
    let view = WorkloadView::read(cluster, &plan.target.workload).await?;
    let Some(view) = view else {
        return Ok(None);
    };
    let disrupts = plan.steps.iter().any(|step| step.action.disrupts());
    let text = if view.metadata.deletion_timestamp.is_some() {
        "it is being deleted".to_owned()
    } else if view.spec.paused && disrupts {
        "its rollouts are paused\nhint: `kubectl rollout resume` it first".to_owned()
    } else if let Some(unrest) = view.unrest().filter(|_| has_rollouts(plan)) {
        format!("{unrest}\nhint: wait until `kubectl rollout status` says that it is rolled out")
    } else if view.wanted() == 0 {
        "it wants no pods, so there is nobody to ask\nhint: scale it up first".to_owned()
    } else {
        return Ok(None);
    };
    Ok(Some(restless(plan, &text)))
}

fn restless(plan: &Plan, text: &str) -> Obstacle {
    Obstacle {
        kind: ObstacleKind::Cluster,
        text: format!("{} is not at rest: {text}", plan.target.workload),
    }
}

/// The other run that holds the workload's Lease, dead or alive.
async fn holder(cluster: &Cluster, plan: &Plan, run: &str) -> Result<Option<LockHolder>, Error> {
    let lock = RunLock::new(cluster, &plan.target.workload, run);
    match lock.holder().await {
        Ok(holder) => Ok(holder.filter(|holder| holder.run != run)),
        // The missing right is told already.
        Err(LockError::Cluster { source, .. }) if source.code() != Some(403) => Err(source),
        Err(_) => Ok(None),
    }
}

/// A Job has no rollout that could be under way, and its controller tells no generation.
fn has_rollouts(plan: &Plan) -> bool {
    plan.target.workload.kind != WorkloadKind::Job
}

async fn wishes(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let nodes = cluster.in_namespace(NODE_LEASES);
    let mut notes = Vec::new();
    let wishes: Vec<Right> = RIGHTS
        .iter()
        .filter(|right| right.need == Need::Wish)
        .copied()
        .collect();
    for (wanted, place, loss) in [
        (
            wishes.as_slice(),
            cluster,
            "what it shows is missing from the evidence",
        ),
        (NODE_RIGHTS, &nodes, "a lost node is told less surely"),
    ] {
        // All of them are lists and watches.
        let missing = rights::missing(place, wanted, &Names::default()).await?;
        let mut resources: Vec<&str> = missing.iter().map(|right| right.resource).collect();
        resources.dedup();
        if !resources.is_empty() {
            notes.push(format!(
                "no right to watch {}: {loss}",
                resources.join(" and ")
            ));
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests;
