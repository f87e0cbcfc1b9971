//! An API server in memory for unit tests: objects by path, resource versions, merge patches.
//!
//! It answers single exchanges as the API does; how controllers and kubelets behave is the lab's.

use super::connect::Cluster;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// An answer that a test gives instead of the store.
type Answer = Box<dyn Fn(&str, &str) -> Option<(u16, Value)> + Send>;

/// What controllers do after a write to a path, at once.
type Reaction = Box<dyn Fn(&str, &mut BTreeMap<String, Value>) + Send>;

/// Whether somebody may do what `resourceAttributes` says.
type Reviewer = Box<dyn Fn(&Value) -> bool + Send>;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    requests: Vec<(String, String)>,
    answer: Option<Answer>,
    reaction: Option<Reaction>,
    reviewer: Option<Reviewer>,
}

/// The server. Clones share the store.
#[derive(Clone)]
pub(crate) struct MemoryApi {
    state: Arc<Mutex<State>>,
    client: kube::Client,
}

impl MemoryApi {
    /// An empty server.
    pub(crate) fn start() -> Self {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let path = parts.uri.to_string();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let (code, answer) = served.lock().unwrap().serve(&parts.method, &path, &body);
                let response = Response::builder()
                    .status(code)
                    .header("date", "Tue, 24 Nov 2026 17:00:00 GMT")
                    .body(Body::from(answer.to_string().into_bytes()))
                    .unwrap();
                send.send_response(response);
            }
        });
        Self {
            state,
            client: kube::Client::new(service, "shop"),
        }
    }

    /// The way to it, in namespace `shop`.
    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(self.client.clone(), "test", "http://memory", "shop")
    }

    /// Puts an object at a path.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state.lock().unwrap().store(path, object);
    }

    /// The object at a path.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// The verbs and paths of all requests so far, without those that only read.
    pub(crate) fn writes(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let writes = state.requests.iter().filter(|(verb, _)| verb != "GET");
        writes
            .map(|(verb, path)| format!("{verb} {path}"))
            .collect()
    }

    /// Answers SelfSubjectAccessReviews; without it everything is allowed.
    pub(crate) fn review(&self, reviewer: impl Fn(&Value) -> bool + Send + 'static) {
        self.state.lock().unwrap().reviewer = Some(Box::new(reviewer));
    }

    /// Plays the controllers: called after each write with its path and all objects.
    pub(crate) fn react(
        &self,
        reaction: impl Fn(&str, &mut BTreeMap<String, Value>) + Send + 'static,
    ) {
        self.state.lock().unwrap().reaction = Some(Box::new(reaction));
    }

    /// Changes an object behind everybody's back.
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state.lock().unwrap();
        let mut object = state.objects[path].clone();
        change(&mut object);
        state.store(path, object);
    }

    /// Removes an object behind everybody's back.
    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path);
    }

    /// Answers by hand: `Some` replaces the store's answer to (verb, path).
    pub(crate) fn answer(
        &self,
        answer: impl Fn(&str, &str) -> Option<(u16, Value)> + Send + 'static,
    ) {
        self.state.lock().unwrap().answer = Some(Box::new(answer));
    }
}

/// A `Status` body.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (
        code,
        json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": message
        }),
    )
}

impl State {
    fn serve(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        self.requests.push((method.to_string(), path.to_owned()));
        if let Some(answer) = &self.answer
            && let Some(answer) = answer(method.as_str(), path)
        {
            return answer;
        }
        let path = path.split('?').next().unwrap_or(path);
        let answer = self.apply(method, path, body);
        if *method != Method::GET
            && answer.0 < 300
            && let Some(reaction) = &self.reaction
        {
            reaction(path, &mut self.objects);
        }
        answer
    }

    fn apply(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        match *method {
            Method::GET => self.read(path),
            Method::POST => self.create(path, body),
            Method::PUT | Method::PATCH => self.update(method, path, body),
            Method::DELETE => match self.objects.remove(path) {
                Some(_) => (200, json!({"kind": "Status", "status": "Success"})),
                None => status(404, "NotFound", "not found"),
            },
            _ => status(405, "MethodNotAllowed", "not allowed"),
        }
    }

    fn read(&self, path: &str) -> (u16, Value) {
        if let Some(object) = self.objects.get(path) {
            return (200, object.clone());
        }
        let prefix = format!("{path}/");
        let plural = path.rsplit('/').next().unwrap_or_default();
        if plural.ends_with('s') {
            let items: Vec<&Value> = self
                .objects
                .iter()
                .filter(|(key, _)| key.strip_prefix(&prefix).is_some_and(|k| !k.contains('/')))
                .map(|(_, object)| object)
                .collect();
            return (200, json!({"kind": "List", "items": items}));
        }
        status(404, "NotFound", &format!("`{path}` not found"))
    }

    fn create(&mut self, path: &str, body: &Value) -> (u16, Value) {
        if path.ends_with("/selfsubjectaccessreviews") {
            let asked = &body["spec"]["resourceAttributes"];
            let allowed = self.reviewer.as_ref().is_none_or(|review| review(asked));
            return (201, json!({"status": {"allowed": allowed}}));
        }
        let name = body["metadata"]["name"].as_str().unwrap_or("x");
        let path = format!("{path}/{name}");
        if self.objects.contains_key(&path) {
            return status(409, "AlreadyExists", "already exists");
        }
        (201, self.store(&path, body.clone()))
    }

    fn update(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let path = path.strip_suffix("/scale").unwrap_or(path);
        let Some(object) = self.objects.get(path) else {
            return status(404, "NotFound", "not found");
        };
        let asked = &body["metadata"]["resourceVersion"];
        if !asked.is_null() && *asked != object["metadata"]["resourceVersion"] {
            return status(409, "Conflict", "the object has been modified");
        }
        let mut changed = object.clone();
        if method == Method::PUT {
            changed = body.clone();
        } else {
            merge(&mut changed, body);
        }
        (200, self.store(path, changed))
    }

    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

/// A merge patch; lists of named things are merged by name, as a strategic one does it.
fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(target), Value::Array(patch))
            if patch.iter().all(|p| p["name"].is_string()) =>
        {
            for value in patch {
                match target.iter_mut().find(|t| t["name"] == value["name"]) {
                    Some(found) => merge(found, value),
                    None => target.push(value.clone()),
                }
            }
        }
        (target, patch @ Value::Object(_)) => {
            *target = json!({});
            merge(target, patch);
        }
        (target, patch) => *target = patch.clone(),
    }
}
