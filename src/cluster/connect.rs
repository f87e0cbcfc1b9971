//! Which cluster is meant, and how is it reached?

use super::error::Error;
use super::{names, proxy};
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// For how long a connection may take to open: a wrong address should be told soon.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Between two attempts of [`Cluster::connect_patiently`].
const AGAIN: Duration = Duration::from_millis(500);

/// What the user said about the cluster; everything left out is taken from the environment.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// `--kubeconfig`; else `KUBECONFIG`, `~/.kube/config`, or the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`; else the kubeconfig's current one.
    pub context: Option<String>,
    /// The namespace; else the context's, else `default`.
    pub namespace: Option<String>,
}

/// The way to one cluster and one namespace in it.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    namespace: String,
    context: String,
    server: String,
    proxy: Option<String>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("context", &self.context)
            .field("server", &self.server)
            .field("proxy", &self.proxy)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Finds the cluster and asks it for its version, so that an unreachable one or refused
    /// credentials are known at once.
    pub async fn connect(reach: &Reach) -> Result<Self, Error> {
        let (mut config, context) = configuration(reach).await?;
        config.connect_timeout = Some(CONNECT_PATIENCE);
        // A call of ours must not be repeated behind our back: its instant is evidence.
        config.default_retry = false;
        let namespace = reach
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string();
        let server = server.trim_end_matches('/').to_owned();
        let proxy = config.proxy_url.as_ref().map(proxy::shown);
        let client = kube::Client::try_from(config).map_err(|source| Error::Client {
            server: server.clone(),
            source: Box::new(source),
        })?;
        let cluster = Self {
            proxy,
            ..Self::new(client, &context, &server, &namespace)
        };
        match cluster.read::<serde_json::Value>("/version").await {
            // Some clusters hide the version from everybody but administrators.
            Ok(_) | Err(Error::Forbidden { .. }) => Ok(cluster),
            Err(error) => Err(error),
        }
    }

    /// [`Cluster::connect`], again and again while nobody answers; `waiting` is told of the first time.
    pub async fn connect_patiently(
        reach: &Reach,
        patience: Duration,
        waiting: impl FnOnce(&Error),
    ) -> Result<Self, Error> {
        let deadline = Instant::now() + patience;
        let mut waiting = Some(waiting);
        loop {
            match Self::connect(reach).await {
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    if let Some(waiting) = waiting.take() {
                        waiting(&error);
                    }
                }
                ended => return ended,
            }
            sleep(AGAIN).await;
        }
    }

    /// A cluster behind a client that exists already.
    pub fn new(client: kube::Client, context: &str, server: &str, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            context: context.to_owned(),
            server: server.to_owned(),
            proxy: None,
        }
    }

    /// The same cluster, another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        }
    }

    /// The client, for watches and log streams.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The namespace of the target.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The kubeconfig's context; `in-cluster` in a pod.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The API server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The proxy on the way to it, without its password.
    pub(super) fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }
}

async fn configuration(reach: &Reach) -> Result<(Config, String), Error> {
    let Some(kubeconfig) = kubeconfig(reach.kubeconfig.as_deref())? else {
        let config = Config::incluster().map_err(|source| Error::NoCluster {
            source: Box::new(source),
        })?;
        return match &reach.context {
            Some(name) => Err(unknown_context(name, &[])),
            None => Ok((config, "in-cluster".to_owned())),
        };
    };
    let context = choose_context(&kubeconfig, reach.context.as_deref())?;
    let options = KubeConfigOptions {
        context: Some(context.clone()),
        ..KubeConfigOptions::default()
    };
    let failed = |source| fault(source, reach.kubeconfig.as_deref());
    let mut config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options)
        .await
        .map_err(failed)?;
    let variable = |name: &str| std::env::var(name).ok();
    config.proxy_url = proxy::chosen(&kubeconfig, &context, &config.cluster_url, variable)
        .map_err(|source| failed(KubeconfigError::ParseProxyUrl(source)))?;
    Ok((config, context))
}

fn fault(source: KubeconfigError, path: Option<&Path>) -> Error {
    let source = Box::new(source);
    match *source {
        KubeconfigError::ParseProxyUrl(_) | KubeconfigError::ParseNoProxy(_) => {
            Error::Proxy { source }
        }
        _ => Error::Kubeconfig {
            path: place(path),
            source,
        },
    }
}

/// `None`: there is none, and none was asked for.
fn kubeconfig(path: Option<&Path>) -> Result<Option<Kubeconfig>, Error> {
    let read = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    match read {
        Ok(kubeconfig) => Ok(Some(kubeconfig)),
        Err(KubeconfigError::FindPath) => Ok(None),
        Err(KubeconfigError::ReadConfig(error, _))
            if path.is_none()
                && error.kind() == io::ErrorKind::NotFound
                && std::env::var_os("KUBECONFIG").is_none() =>
        {
            Ok(None)
        }
        Err(source) => Err(Error::Kubeconfig {
            path: place(path),
            source: Box::new(source),
        }),
    }
}

fn choose_context(kubeconfig: &Kubeconfig, asked: Option<&str>) -> Result<String, Error> {
    let existing: Vec<String> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.clone())
        .collect();
    let Some(name) = asked.or(kubeconfig.current_context.as_deref()) else {
        return Err(Error::NoContext {
            existing: names::listed(&existing),
        });
    };
    if existing.iter().any(|context| context == name) {
        Ok(name.to_owned())
    } else {
        Err(unknown_context(name, &existing))
    }
}

fn unknown_context(name: &str, existing: &[String]) -> Error {
    Error::UnknownContext {
        name: name.to_owned(),
        suggestion: names::did_you_mean(name, existing),
        existing: names::listed(existing),
    }
}

/// Where the kubeconfig was looked for, for a message.
fn place(path: Option<&Path>) -> PathBuf {
    path.map(Path::to_owned)
        .or_else(|| std::env::var_os("KUBECONFIG").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("~/.kube/config"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
apiVersion: v1
kind: Config
current-context: staging
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {}}]
contexts:
- {name: staging, context: {cluster: c, user: u, namespace: shop}}
- {name: production, context: {cluster: c, user: u}}
";

    #[test]
    fn an_unknown_context_is_answered_with_those_that_exist() {
        let kubeconfig = Kubeconfig::from_yaml(TWO).unwrap();
        assert_eq!(choose_context(&kubeconfig, None).unwrap(), "staging");
        let error = choose_context(&kubeconfig, Some("stagin")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "context `stagin` is not in the kubeconfig\n\
             hint: did you mean `staging`? the contexts there are: `staging`, `production`"
        );
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_is_unreachable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, TWO).unwrap();
        let error = Cluster::connect(&Reach {
            kubeconfig: Some(path),
            ..Reach::default()
        })
        .await
        .expect_err("port 1 is closed");
        assert!(
            matches!(&error, Error::Unreachable { server, .. } if server == "http://127.0.0.1:1"),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named() {
        let error = Cluster::connect(&Reach {
            kubeconfig: Some("/nowhere/config".into()),
            ..Reach::default()
        })
        .await
        .expect_err("no such file");
        assert_eq!(
            error.to_string(),
            "failed to read the kubeconfig `/nowhere/config`\nhint: name one with `--kubeconfig FILE` or `KUBECONFIG`"
        );
    }
}
