//! Which address does a new Service get?

use super::{Status, object, resource};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Services live in 10.96.0.0/16; the first 16 addresses are left to those who ask for one.
const FIRST: u32 = 0x0a60_0010;
const LAST: u32 = 0x0a60_fffe;

/// Gives a Service its `clusterIP` (unless it is headless or external) among the free ones.
pub(super) fn allocate(service: &mut Value, existing: &[Arc<Value>]) -> Result<(), Status> {
    if service["spec"]["type"] == "ExternalName" {
        return Ok(());
    }
    let asked = object::text(&service["spec"]["clusterIP"]).to_owned();
    if asked == "None" {
        service["spec"]["clusterIPs"] = json!(["None"]);
        return Ok(());
    }
    let taken: std::collections::BTreeSet<&str> = existing
        .iter()
        .map(|other| object::text(&other["spec"]["clusterIP"]))
        .collect();
    let address = if asked.is_empty() {
        free(&taken).ok_or_else(|| Status::internal("no cluster address is free"))?
    } else if taken.contains(asked.as_str()) {
        let kind = resource("services").expect("services are a resource");
        let why = format!(
            "Invalid value: {asked:?}: failed to allocate IP {asked}: provided IP is already allocated"
        );
        return Err(Status::invalid(
            kind,
            object::name(service),
            "spec.clusterIPs",
            "FieldValueInvalid",
            &why,
        ));
    } else {
        asked
    };
    service["spec"]["clusterIP"] = json!(address);
    service["spec"]["clusterIPs"] = json!([address]);
    Ok(())
}

/// A free address, at random as the real allocator: an address that was just given back is rarely
/// the next one.
fn free(taken: &std::collections::BTreeSet<&str>) -> Option<String> {
    use rand::Rng;
    let start = rand::rng().random_range(FIRST..=LAST);
    (start..=LAST)
        .chain(FIRST..start)
        .map(|bits| Ipv4Addr::from(bits).to_string())
        .find(|address| !taken.contains(address.as_str()))
}
