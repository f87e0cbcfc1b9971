//! What can go wrong between us and the API, and what helps?

use kube::config::{InClusterError, KubeconfigError};
use std::path::PathBuf;
use std::time::Duration;

/// Something between us and the API went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kubeconfig could not be read.
    #[error(
        "failed to read the kubeconfig `{}`\nhint: name one with `--kubeconfig FILE` or `KUBECONFIG`",
        path.display()
    )]
    Kubeconfig {
        /// The file, or where it was looked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// What names the proxy, or whom to reach without it, cannot be read.
    #[error(
        "failed to find out through which proxy the API server is reached\n\
         hint: `HTTPS_PROXY` and the kubeconfig's `proxy-url` are written like \
         `http://proxy.example:3128`, `NO_PROXY` like `localhost,.example,10.0.0.0/8`"
    )]
    Proxy {
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// There is no kubeconfig, and this is no pod.
    #[error(
        "found no cluster: there is no kubeconfig, and this is not a pod\n\
         hint: give one with `--kubeconfig FILE` or `KUBECONFIG`, or practise with `--lab`"
    )]
    NoCluster {
        /// What the pod's environment lacks.
        #[source]
        source: Box<InClusterError>,
    },
    /// The kubeconfig has no such context.
    #[error(
        "context `{name}` is not in the kubeconfig\n\
         hint: {suggestion}the contexts there are: {existing}"
    )]
    UnknownContext {
        /// What was asked for.
        name: String,
        /// `did you mean ...? ` or nothing.
        suggestion: String,
        /// The contexts that exist.
        existing: String,
    },
    /// The kubeconfig names no current context.
    #[error(
        "the kubeconfig has no current context\n\
         hint: choose one with `--context`; the contexts there are: {existing}"
    )]
    NoContext {
        /// The contexts that exist.
        existing: String,
    },
    /// No client could be made from the kubeconfig.
    #[error("failed to set up the connection to `{server}`")]
    Client {
        /// The API server's address.
        server: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// Nothing answers at the API server's address.
    #[error(
        "cannot reach the API server at `{server}`{}\n\
         hint: is the cluster up, and is the context the right one?",
        through(proxy.as_deref())
    )]
    Unreachable {
        /// The API server's address.
        server: String,
        /// The proxy on the way.
        proxy: Option<String>,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server accepted a call and did not answer it.
    #[error("the API server at `{server}` did not answer `{act}` within {patience:?}")]
    Timeout {
        /// The API server's address.
        server: String,
        /// The call.
        act: String,
        /// For how long it was waited.
        patience: Duration,
    },
    /// 401: the credentials are wrong or have run out.
    #[error(
        "the API server at `{server}` does not accept the credentials: {message}\n\
         hint: the token or certificate of this context is wrong or has expired; log in again"
    )]
    Unauthorized {
        /// The API server's address.
        server: String,
        /// The server's words.
        message: String,
    },
    /// 403: the credentials do not reach far enough.
    #[error("not allowed to {act}: {message}")]
    Forbidden {
        /// The call.
        act: String,
        /// The server's words.
        message: String,
    },
    /// The API server refused a call for another reason.
    #[error("the API server answered `{act}` with {code} {reason}: {message}")]
    Api {
        /// The call.
        act: String,
        /// HTTP status.
        code: u16,
        /// `NotFound`, `Conflict`, ...
        reason: String,
        /// The server's words.
        message: String,
    },
    /// An answer is not what the API promises.
    #[error("the answer to `{act}` cannot be read")]
    Garbled {
        /// The call.
        act: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

fn through(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" through the proxy `{proxy}`"))
}

impl Error {
    /// The HTTP status of a refusal.
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Api { code, .. } => Some(*code),
            Self::Unauthorized { .. } => Some(401),
            Self::Forbidden { .. } => Some(403),
            _ => None,
        }
    }

    /// 404.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// 409: somebody was faster.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// The same call may succeed a little later: no answer, throttling, a server that restarts.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Api { code, .. } => matches!(code, 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}
