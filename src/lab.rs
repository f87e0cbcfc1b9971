//! A cluster to practise on, indistinguishable through the API.
//!
//! Everything in it meets in the [`store`]: the API server, the controllers and the nodes.

pub mod api;
pub mod app;
pub mod controllers;
pub(crate) mod event;
pub(crate) mod selector;
pub mod store;
