//! How does the lab speak the Kubernetes API?
//!
//! [`Api::answer`] is the way of a request: faults that a test has set, who asks ([`User`]), what it
//! is about, whether that is permitted, and then reading, writing, watching or a subresource, all of
//! it against the [`Store`]. [`Server`] is the port.

mod access;
mod delete;
mod discovery;
mod events;
mod evict;
mod faults;
mod journal;
mod lab;
mod logs;
mod patch;
mod path;
mod protobuf;
mod query;
mod read;
mod respond;
mod server;
mod stream;
mod subresource;
mod table;
mod tls;
mod write;

pub use access::User;
pub(crate) use delete::FOREGROUND;
pub use journal::RequestRecord;
pub use logs::{LogRequest, LogSource, LogStream, NoLogs};
pub use server::Server;
pub use tls::kubeconfig;

use super::store::{Status, Store};
use access::Tokens;
use faults::Faults;
use http::request::Parts;
use http::{Request, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use journal::Journal;
use path::{Address, Target, Verb};
use query::Query;
use respond::{Answer, Form};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The largest body that is read, as of the real API server.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The API server of a lab.
pub struct Api {
    store: Arc<Store>,
    logs: Box<dyn LogSource>,
    tokens: Tokens,
    faults: Faults,
    journal: Journal,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// A request whose sender may do what it asks.
struct Call<'a> {
    store: &'a Arc<Store>,
    address: &'a Address,
    query: &'a Query,
    form: Form,
    parts: &'a Parts,
}

impl Api {
    /// An API server of a store, with a source of logs.
    pub fn new(store: Arc<Store>, logs: impl LogSource + 'static) -> Arc<Self> {
        Arc::new(Self {
            store,
            logs: Box::new(logs),
            tokens: Tokens::default(),
            faults: Faults::new(),
            journal: Journal::default(),
        })
    }

    /// A new bearer token of a user.
    pub fn issue_token(&self, user: User) -> String {
        self.tokens.issue(user)
    }

    /// Makes a token invalid, as when it has expired.
    pub fn revoke_token(&self, token: &str) {
        self.tokens.revoke(token);
    }

    /// The requests for objects that were answered, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.journal.records()
    }

    /// Fault: the next `requests` requests get 429 with `Retry-After`.
    pub fn throttle(&self, requests: u32, retry_after: u32) {
        self.faults.throttle(requests, retry_after);
    }

    /// Fault: every open watch and log stream breaks.
    pub fn cut_watches(&self) {
        self.faults.cut();
    }

    /// Fault: the history is forgotten and every watch breaks, so that each one meets 410 Gone.
    pub fn expire_history(&self) {
        self.store.expire_history();
        self.faults.cut();
    }

    /// Fault: connections are refused for a while, as during a restart.
    pub fn outage(&self, length: Duration) {
        self.faults.outage(length);
    }

    /// Answers one request.
    pub async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Answer {
        match self.respond(request).await {
            Ok(answer) => answer,
            Err(status) => respond::failure(&status),
        }
    }

    async fn respond(self: &Arc<Self>, request: Request<Incoming>) -> Result<Answer, Status> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if matches!(path, "/healthz" | "/livez" | "/readyz") {
            return Ok(respond::stream("text/plain", axum::body::Body::from("ok")));
        }
        let user = self
            .tokens
            .user(header_text(&parts, header::AUTHORIZATION))?;
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        if path.starts_with("/lab/") {
            return self.lab_page(&user, &parts, &read_body(body).await?);
        }
        self.faults.check()?;
        match path::target(&parts.method, path, &query)? {
            Target::Page => discovery::page(path)
                .map(|page| respond::json(200, &page))
                .ok_or_else(Status::unknown_resource),
            Target::Question { plural } => {
                let question = parse(&parts, &read_body(body).await?)?;
                let answer = access::answer(&self.store, &user, plural, question);
                Ok(respond::json(201, &answer))
            }
            Target::Objects(address) => {
                let body = read_body(body).await?;
                let answer = self.objects(&user, &address, &query, &parts, &body);
                let code = answer
                    .as_ref()
                    .map_or_else(|s| s.code, |a| a.status().as_u16());
                self.journal.note(&user, &address, code);
                answer
            }
        }
    }

    fn objects(
        self: &Arc<Self>,
        user: &User,
        address: &Address,
        query: &Query,
        parts: &Parts,
        body: &[u8],
    ) -> Result<Answer, Status> {
        access::authorize(&self.store, user, address)?;
        let call = Call {
            store: &self.store,
            address,
            query,
            form: Form::parse(header_text(parts, header::ACCEPT)),
            parts,
        };
        match (address.verb, address.subresource.as_deref()) {
            (Verb::Get, Some("log")) => self.open_log(&call),
            (Verb::Create, Some("token")) => self.token(&call, body),
            (_, Some("scale")) => subresource::scale(&call, body),
            (Verb::Create, Some("eviction")) => evict::evict(&call, body),
            (Verb::Get, None | Some("status")) => read::get(&call),
            (Verb::Update, None | Some("status")) => write::update(&call, body),
            (Verb::Patch, None | Some("status")) => write::patch(&call, body),
            (Verb::List, None) => read::list(&call),
            (Verb::Watch, None) => stream::watch(&call, self.faults.cuts()),
            (Verb::Create, None) => write::create(&call, body),
            (Verb::Delete, None) => delete::one(&call, body),
            (Verb::DeleteCollection, None) => delete::many(&call, body),
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn open_log(&self, call: &Call<'_>) -> Result<Answer, Status> {
        let pod = call.object()?;
        let request = logs::request(&pod, call.query)?;
        let log = self.logs.open(request)?;
        let body = stream::cuttable(log, self.faults.cuts());
        Ok(respond::stream("text/plain", body))
    }

    fn token(&self, call: &Call<'_>, body: &[u8]) -> Result<Answer, Status> {
        let account = call.object()?;
        let mut request = parse(call.parts, body)?;
        let (namespace, name) = call.address.of_object()?;
        let user = User::service_account(namespace.unwrap_or_default(), name);
        let expiry = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        request["kind"] = Value::from("TokenRequest");
        request["apiVersion"] = Value::from("authentication.k8s.io/v1");
        request["metadata"] = account["metadata"].clone();
        request["status"] = serde_json::json!({
            "token": self.issue_token(user),
            "expirationTimestamp": super::store::object::second(expiry),
        });
        Ok(respond::json(201, &request))
    }
}

// === impl Call ===

impl Call<'_> {
    /// The object of the path.
    fn object(&self) -> Result<Arc<Value>, Status> {
        let (namespace, name) = self.address.of_object()?;
        self.store
            .get(self.address.resource.plural, namespace, name)
            .ok_or_else(|| Status::not_found(self.address.resource.plural, name))
    }

    /// An object in the form and group that the client asked for.
    fn show(&self, code: u16, object: &Value) -> Answer {
        let object = match self.form {
            Form::Table => table::table(self.address.resource, self.query, &[object], object),
            Form::Metadata => table::partial(object),
            Form::Full => events::outward(&self.address.group, object.clone()),
        };
        respond::json(code, &object)
    }
}

fn header_text(parts: &Parts, name: header::HeaderName) -> Option<&str> {
    parts.headers.get(name)?.to_str().ok()
}

async fn read_body(body: Incoming) -> Result<bytes::Bytes, Status> {
    let read = Limited::new(body, BODY_LIMIT).collect().await;
    let read = read.map_err(|error| {
        Status::bad_request(&format!(
            "the body of the request could not be read: {error}"
        ))
    })?;
    Ok(read.to_bytes())
}

const ACCEPTED: &str = "application/json, application/yaml";

/// An object from a body in JSON, YAML, or (of a few kinds) protobuf.
fn parse(parts: &Parts, body: &[u8]) -> Result<Value, Status> {
    let kind = header_text(parts, header::CONTENT_TYPE).unwrap_or("application/json");
    let faulty = |error: &dyn std::fmt::Display| {
        Status::bad_request(&format!("the object provided is unrecognized: {error}"))
    };
    let plain = kind.split(';').next().unwrap_or_default().trim();
    let value: Value = match plain {
        "" | "application/json" | "*/*" => serde_json::from_slice(body).map_err(|e| faulty(&e))?,
        "application/vnd.kubernetes.protobuf" => {
            protobuf::decode(body).map_err(|fault| match fault {
                protobuf::Fault::Broken => faulty(&"broken protobuf"),
                protobuf::Fault::Kind(of) => {
                    Status::unsupported_media_type(&format!("{plain} of kind {of}"), ACCEPTED)
                }
            })?
        }
        "application/yaml" => serde_yaml::from_slice(body).map_err(|e| faulty(&e))?,
        other => return Err(Status::unsupported_media_type(other, ACCEPTED)),
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(Status::bad_request("the body is not an object"))
    }
}
