//! How do we reach the API, find a workload's objects, and own what we create?
