//! How does one get a cluster to practise on, indistinguishable through the API?
//!
//! Everything in it meets in the [`store`]: the API server, the controllers and the nodes.

pub mod api;
pub mod app;
pub mod controllers;
pub(crate) mod event;
pub(crate) mod loopback;
pub mod mesh;
pub(crate) mod net;
pub(crate) mod node;
pub(crate) mod proxy;
pub mod score;
pub(crate) mod selector;
pub mod session;
pub mod store;
pub(crate) mod truth;
