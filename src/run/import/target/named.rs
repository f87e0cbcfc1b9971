//! Does the capture have the workload and the Service that the user named?

use super::{KINDS, SERVICE_LABEL, listed, pods, replica_set_owners, text};
use crate::evidence::Resource;
use crate::run::import::gathered::Gathered;
use crate::run::import::{Error, ImportOptions};
use std::collections::BTreeSet;

/// Refuses a name that the capture surely lacks: a name of what it did not watch may be right.
pub(in crate::run::import) fn check(
    gathered: &Gathered,
    options: &ImportOptions,
) -> Result<(), Error> {
    let watched = |resource| gathered.watches.contains(&resource);
    if let Some(name) = &options.workload
        && watched(Resource::Pods)
    {
        among("workload", name, workloads(gathered))?;
    }
    if let Some(name) = &options.service
        && watched(Resource::EndpointSlices)
    {
        among("Service", name, services(gathered))?;
    }
    Ok(())
}

fn among(what: &'static str, name: &str, present: BTreeSet<String>) -> Result<(), Error> {
    if present.contains(name) {
        return Ok(());
    }
    let name = name.to_owned();
    Err(Error::Absent {
        what,
        name,
        present,
    })
}

fn workloads(gathered: &Gathered) -> BTreeSet<String> {
    let owners = replica_set_owners(gathered);
    let pods = pods(gathered, &owners);
    let objects = KINDS.iter().flat_map(|(resource, kind)| {
        let names = gathered.objects(*resource);
        names.filter_map(move |(_, _, it)| Some(format!("{kind}/{}", text(it, "/metadata/name")?)))
    });
    let of_pods = pods.values().filter_map(|pod| pod.workload.clone());
    let of_slices = listed(gathered, &owners, &pods)
        .into_iter()
        .map(|one| one.workload);
    objects
        .chain(of_pods)
        .chain(of_slices)
        .chain(owners.values().cloned())
        .collect()
}

fn services(gathered: &Gathered) -> BTreeSet<String> {
    let slices = gathered.objects(Resource::EndpointSlices);
    let of_slices = slices.filter_map(|(_, _, slice)| {
        let labels = slice.pointer("/metadata/labels");
        labels?.get(SERVICE_LABEL)?.as_str()
    });
    let objects = gathered.objects(Resource::Services);
    let named = objects.filter_map(|(_, _, it)| text(it, "/metadata/name"));
    of_slices.chain(named).map(str::to_owned).collect()
}
