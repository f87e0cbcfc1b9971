//! What does the cluster show?
