//! What if the environment or the kubeconfig names a proxy?

use crate::practice::Practice;
use crate::{NO_EXPOSURE, QUIET, ended};
use std::process::Command;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1";

#[test]
fn an_api_server_of_this_machine_is_reached_past_the_proxy_of_the_environment() {
    let practice = Practice::start();
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let mut command = practice.command(&scenario);
    command.arg("--dry-run").env("HTTPS_PROXY", NOWHERE);
    ended(&command.output().unwrap(), 0);
}

#[test]
fn the_lab_is_reached_past_the_proxy_of_the_environment() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastwatch"));
    command.args(["run", "scenarios/rolling-restart-graceful.yaml"]);
    command.args(["--lab", "--dry-run"]);
    command.env("HTTPS_PROXY", NOWHERE);
    ended(&command.output().unwrap(), 0);
}

/// Takes one `CONNECT` after the other, notes it, and leads each to `server`.
async fn serve(listener: TcpListener, server: String, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, asked) = (server.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            let mut client = BufReader::new(client);
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                client.read_line(&mut line).await?;
                if line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim().to_owned());
            }
            asked.lock().unwrap().extend(lines);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let mut server = TcpStream::connect(server).await?;
            copy_bidirectional(&mut client, &mut server).await
        });
    }
}

#[test]
fn an_api_server_behind_the_proxy_of_the_kubeconfig_is_reached_through_it() {
    let practice = Practice::start();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&asked);
    let proxy = practice.serve_beside(|listener, server| serve(listener, server, noted));
    // A name that only the proxy knows.
    let api = "http://api.invalid:6443";
    practice.write_kubeconfig_behind(&format!("http://me:secret@{proxy}"), api);
    let scenario = practice.scenario(QUIET, NO_EXPOSURE);
    let mut command = practice.command(&scenario);
    ended(&command.arg("--dry-run").output().unwrap(), 0);
    let asked = asked.lock().unwrap().join("\n");
    assert!(
        asked.contains("CONNECT api.invalid:6443 HTTP/1.1"),
        "{asked}"
    );
    assert!(
        asked.contains("Proxy-Authorization: Basic bWU6c2VjcmV0"),
        "{asked}"
    );
    practice.write_kubeconfig_behind("http://me:secret@127.0.0.1:1", api);
    let text = ended(&practice.command(&scenario).output().unwrap(), 69);
    let told = "cannot reach the API server at `http://api.invalid:6443` through the proxy \
                `http://127.0.0.1:1`";
    assert!(text.contains(told), "{text}");
    assert!(!text.contains("secret"), "{text}");
}
