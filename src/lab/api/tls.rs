//! How does the API server prove who it is?
//!
//! It signs a certificate of its own at each start. Clients get it in their kubeconfig, with a
//! server name, so that it holds for any address by which the port is reached, a relay included.
//! Plain HTTP is answered at the same port; kubectl would send no token over it.

use rcgen::CertifiedKey;
use serde_json::json;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The name that clients check.
const NAME: &str = "kubernetes.default.svc";

/// A certificate and what proves that it is ours.
pub(super) struct Identity {
    pub(super) acceptor: TlsAcceptor,
    /// The certificate, in PEM.
    pub(super) certificate: String,
}

impl Identity {
    /// A new certificate for the names of an API server and an address of it.
    pub(super) fn new(address: IpAddr) -> io::Result<Self> {
        let names = [
            NAME,
            "kubernetes.default",
            "kubernetes",
            "localhost",
            "127.0.0.1",
            "10.96.0.1",
        ];
        let mut names: Vec<String> = names.map(str::to_owned).into();
        names.push(address.to_string());
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![cert.der().clone()], key)
            })
            .map_err(io::Error::other)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate: cert.pem(),
        })
    }
}

/// A kubeconfig for a user's token, at an address by which the server with this certificate is
/// reached.
pub fn kubeconfig(address: SocketAddr, certificate: &str, token: &str) -> String {
    let cluster = json!({
        "server": format!("https://{address}"),
        "tls-server-name": NAME,
        "certificate-authority-data": base64(certificate.as_bytes()),
    });
    let context = json!({"cluster": "lastwatch-lab", "user": "admin", "namespace": "default"});
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lastwatch-lab",
        "clusters": [{"name": "lastwatch-lab", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "lastwatch-lab", "context": context}],
    });
    format!("{config:#}\n")
}

/// Base64 of RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut bits = 0u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let padding = digit > chunk.len();
            text.push(if padding {
                '='
            } else {
                char::from(DIGITS[index as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_what_is_no_multiple_of_three() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
