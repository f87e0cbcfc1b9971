//! What can keep load from starting, or end it badly?

use std::io;

/// Why load could not be started or finished. A failed request is evidence, never an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target's URL cannot be asked.
    #[error(
        "`{url}` is no target for load: {fault}\nhint: write it like `https://shop.example:8443`"
    )]
    Url {
        /// What was written.
        url: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A request class cannot be sent as it is written.
    #[error("request class `{class}` has the invalid {field} `{value}`")]
    Class {
        /// The class.
        class: String,
        /// Which part of it.
        field: &'static str,
        /// What was written.
        value: String,
        /// Why it cannot be.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The plan has no request class.
    #[error("the load has no request class")]
    NoClass,
    /// No root certificate to check an `https` target against.
    #[error(
        "found no trusted root certificate for `https`\nhint: install the package `ca-certificates` or set `SSL_CERT_FILE`"
    )]
    NoRoots,
    /// TLS could not be set up.
    #[error("failed to set up TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A thread or its runtime could not be started.
    #[error("failed to start thread `{name}`")]
    Thread {
        /// The thread.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread ended by a panic; what it knew and had not sent is lost.
    #[error("thread `{name}` panicked: {message}")]
    Panicked {
        /// The thread.
        name: String,
        /// The panic's words.
        message: String,
    },
}
