//! Who makes the cluster what its objects say it should be?
//!
//! Each controller is a file: which changes concern it, a pure decision, and the writes that follow.
//! [`start`] runs all of them over one [`Store`]; [`driver`] is the loop that they share.

mod deployment;
mod disruption;
mod driver;
mod endpoints;
mod garbage;
mod job;
mod namespace;
mod pods;
mod replicaset;
mod scheduler;

pub(super) use endpoints::selector as service_selector;

use super::store::Store;
use crate::task::Scope;
use std::sync::Arc;

/// Creates the namespaces that every cluster has, and starts the controllers in the scope.
pub fn start(store: &Arc<Store>, scope: &mut Scope) {
    namespace::bootstrap(store);
    for controller in [
        namespace::CONTROLLER,
        deployment::CONTROLLER,
        replicaset::CONTROLLER,
        scheduler::CONTROLLER,
        endpoints::CONTROLLER,
        job::CONTROLLER,
        disruption::CONTROLLER,
        garbage::CONTROLLER,
    ] {
        let token = scope.token();
        scope.spawn(
            controller.name,
            driver::run(controller, Arc::clone(store), token),
        );
    }
}
