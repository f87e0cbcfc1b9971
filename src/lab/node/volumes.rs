//! What does a pod mount into its containers?
//!
//! ConfigMaps, empty folders, and, for a pod that names a service account of its own, what lets it
//! speak to the API server: token, certificate and namespace, where a real pod has them. (A pod that
//! names none has no right in the lab that it could use.)

use crate::lab::api::{Api, User};
use crate::lab::store::object::{items, name, namespace, text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Something of the node that a container sees at a place of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// The folder or file.
    pub(crate) source: PathBuf,
    /// Where the container sees it.
    pub(crate) target: PathBuf,
    /// It cannot be written there.
    pub(crate) read_only: bool,
}

/// How pods reach the API server.
#[derive(Clone, Debug)]
pub(crate) struct ApiAccess {
    /// Who makes tokens.
    pub(crate) api: Arc<Api>,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Its certificate, in PEM.
    pub(crate) certificate: String,
}

/// The volumes of a pod, in a folder of its own.
pub(crate) struct Volumes<'a> {
    pub(crate) pod: &'a Value,
    pub(crate) dir: &'a Path,
    pub(crate) access: &'a ApiAccess,
    /// Finds a ConfigMap of the pod's namespace.
    pub(crate) config_map: &'a dyn Fn(&str) -> Option<Arc<Value>>,
    /// Containers have mounts of their own.
    pub(crate) isolated: bool,
}

impl Volumes<'_> {
    /// What a container mounts, or why it cannot. Without namespaces only what it asks for itself is
    /// refused: a service account alone is left out, for most pods that name one never use it.
    pub(crate) fn of(&self, container: &Value) -> Result<Vec<Mount>, String> {
        let wanted = items(&container["volumeMounts"]);
        if !self.isolated {
            return if wanted.is_empty() {
                Ok(Vec::new())
            } else {
                Err("volumes need namespaces, which are not permitted here".to_owned())
            };
        }
        let mut mounts = Vec::new();
        for mount in wanted {
            let source = self.volume(text(&mount["name"]))?;
            mounts.push(Mount {
                source: source.join(text(&mount["subPath"])),
                target: text(&mount["mountPath"]).into(),
                read_only: mount["readOnly"] == true,
            });
        }
        if let Some(source) = self.account().map_err(said)? {
            let target = ACCOUNT.into();
            let read_only = true;
            mounts.push(Mount {
                source,
                target,
                read_only,
            });
        }
        Ok(mounts)
    }

    /// The folder of a volume, made if it is not there yet.
    fn volume(&self, wanted: &str) -> Result<PathBuf, String> {
        let volumes = items(&self.pod["spec"]["volumes"]);
        let volume = volumes.iter().find(|own| own["name"] == wanted);
        let volume = volume.ok_or_else(|| format!("volume {wanted:?} not found"))?;
        let dir = self.dir.join(wanted);
        if volume["emptyDir"].is_object() {
            fs::create_dir_all(&dir).map_err(said)?;
            return Ok(dir);
        }
        let from = &volume["configMap"];
        if !from.is_object() {
            return Err(format!(
                "volume {wanted:?}: the lab has volumes of the kinds `configMap` and `emptyDir`"
            ));
        }
        let map = (self.config_map)(text(&from["name"]));
        if map.is_none() && !is_optional(from) {
            return Err(format!("configmap {} not found", from["name"]));
        }
        let map = map.unwrap_or_else(|| Arc::new(json!({})));
        self.write(&dir, from, &map["data"])?;
        Ok(dir)
    }

    /// The keys of a ConfigMap as files, or those that are asked for under the paths that are.
    fn write(&self, dir: &Path, from: &Value, data: &Value) -> Result<(), String> {
        fs::create_dir_all(dir).map_err(said)?;
        let all: Vec<(String, String)> = match from["items"].as_array() {
            Some(wanted) => wanted
                .iter()
                .map(|item| {
                    (
                        text(&item["key"]).to_owned(),
                        text(&item["path"]).to_owned(),
                    )
                })
                .collect(),
            None => data
                .as_object()
                .into_iter()
                .flat_map(|map| map.keys())
                .map(|key| (key.clone(), key.clone()))
                .collect(),
        };
        for (key, path) in all {
            let Some(value) = data[&key].as_str() else {
                if is_optional(from) {
                    continue;
                }
                return Err(format!(
                    "configmap references non-existent config key: {key}"
                ));
            };
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(said)?;
            }
            fs::write(path, value).map_err(said)?;
        }
        Ok(())
    }

    /// The folder of the pod's service account, if it names one.
    fn account(&self) -> io::Result<Option<PathBuf>> {
        let spec = &self.pod["spec"];
        let account = text(&spec["serviceAccountName"]);
        let wanted = !matches!(account, "" | "default");
        if !wanted || spec["automountServiceAccountToken"] == false {
            return Ok(None);
        }
        let dir = self.dir.join("kube-api-access");
        if dir.exists() {
            return Ok(Some(dir));
        }
        let space = namespace(self.pod);
        let user = User::service_account(space, account);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("token"), self.access.api.issue_token(user))?;
        fs::write(dir.join("ca.crt"), &self.access.certificate)?;
        fs::write(dir.join("namespace"), space)?;
        tracing::debug!(pod = name(self.pod), account, "a token was issued");
        Ok(Some(dir))
    }
}

/// What is missing of it is left out.
fn is_optional(from: &Value) -> bool {
    from["optional"] == true
}

fn said(error: io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::node::LogBook;
    use crate::lab::store::Store;

    fn pod() -> Value {
        let keys = json!([
            {"key": "no-such", "path": "left-out"},
            {"key": "scenario.yaml", "path": "here.yaml"},
        ]);
        json!({
            "metadata": {"name": "run", "namespace": "lastwatch"},
            "spec": {
                "serviceAccountName": "lastwatch",
                "volumes": [
                    {"name": "scenario", "configMap": {"name": "scenario"}},
                    {"name": "work", "emptyDir": {}},
                    {"name": "host", "hostPath": {"path": "/etc"}},
                    {"name": "keys", "configMap": {"name": "scenario", "items": keys}},
                    {"name": "some", "configMap": {"name": "scenario", "items": keys, "optional": true}},
                    {"name": "none", "configMap": {"name": "no-such", "items": keys, "optional": true}},
                ],
            },
        })
    }

    fn container(volume: &str) -> Value {
        json!({"volumeMounts": [{"name": volume, "mountPath": "/there", "readOnly": true}]})
    }

    /// What a container of the pod mounts, in this folder.
    fn of(container: &Value, dir: &Path, isolated: bool) -> Result<Vec<Mount>, String> {
        let access = ApiAccess {
            api: Api::new(Store::new(), LogBook::default()),
            address: "172.18.0.2:6443".parse().unwrap(),
            certificate: "PEM".to_owned(),
        };
        let pod = pod();
        let volumes = Volumes {
            pod: &pod,
            dir,
            access: &access,
            config_map: &|name| {
                (name == "scenario")
                    .then(|| Arc::new(json!({"data": {"scenario.yaml": "kind: Scenario"}})))
            },
            isolated,
        };
        volumes.of(container)
    }

    fn mounts(volume: &str) -> Result<Vec<Mount>, String> {
        let dir = tempfile::tempdir().unwrap();
        let mounts = of(&container(volume), dir.path(), true)?;
        let token = fs::read_to_string(mounts[1].source.join("token")).unwrap();
        assert!(token.starts_with("lab-"), "{token}");
        assert_eq!(
            fs::read_to_string(mounts[1].source.join("namespace")).unwrap(),
            "lastwatch"
        );
        if volume == "scenario" {
            let text = fs::read_to_string(mounts[0].source.join("scenario.yaml")).unwrap();
            assert_eq!(text, "kind: Scenario");
        }
        Ok(mounts)
    }

    #[test]
    fn config_maps_empty_folders_and_the_service_account_are_mounted() {
        for volume in ["scenario", "work"] {
            let mounts = mounts(volume).unwrap();
            assert_eq!(mounts[0].target, Path::new("/there"));
            assert!(mounts[0].read_only);
            assert_eq!(mounts[1].target, Path::new(ACCOUNT));
        }
    }

    #[test]
    fn a_volume_that_the_lab_does_not_have_is_named() {
        assert!(
            mounts("host")
                .unwrap_err()
                .contains("`configMap` and `emptyDir`")
        );
        assert!(mounts("other").unwrap_err().contains("not found"));
    }

    #[test]
    fn what_is_missing_of_an_optional_config_map_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let files = |volume: &str| -> Result<Vec<String>, String> {
            let mounts = of(&container(volume), dir.path(), true)?;
            let entries = fs::read_dir(&mounts[0].source).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            Ok(names.collect())
        };
        assert_eq!(
            files("keys").unwrap_err(),
            "configmap references non-existent config key: no-such"
        );
        assert_eq!(files("some").unwrap(), ["here.yaml"]);
        assert!(files("none").unwrap().is_empty());
    }

    #[test]
    fn without_namespaces_only_what_a_container_asks_for_itself_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of(&json!({}), dir.path(), false).unwrap(), []);
        let refused = of(&container("work"), dir.path(), false).unwrap_err();
        assert!(refused.contains("volumes need namespaces"), "{refused}");
        let written = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(written, 0, "nothing is made that nobody mounts");
    }
}
