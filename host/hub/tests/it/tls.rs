//! Certificates: who signs them decides, and nothing encrypted becomes plain.
//! The key and the certificates in `tests/certificates` are for this alone.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use hub::{Error, Outcome};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::server::{Line, Reply, Request, Server};
use crate::stand::{Stand, run, settings};

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/certificates")
        .join(name)
}

fn encrypted(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Server, String) {
    let chain = CertificateDer::from_pem_file(path("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(path("server.key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a configuration");
    let config = Arc::new(config);
    let wrap = move |stream: TcpStream| -> Box<dyn Line> {
        let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
        Box::new(StreamOwned::new(connection, stream))
    };
    let server = Server::over(Box::new(wrap), handler);
    let address = format!("https://localhost:{}", server.port());
    (server, address)
}

#[test]
fn a_certificate_of_nobody_known_is_refused_with_its_cure() {
    let (_server, address) = encrypted(|_| Reply::new(200, "{}"));
    let stand = Stand::new([]);
    let refused = run(&settings(address), &stand.pull_of("hf:o/r")).expect_err("no trust");
    assert!(matches!(refused, Error::Certificate { .. }), "{refused:?}");
    assert!(refused.to_string().contains("SSL_CERT_FILE"), "{refused}");
}

/// In a process of its own, for the environment is one's process's.
#[test]
fn an_authority_that_the_system_names_is_trusted() {
    let this = std::env::current_exe().expect("a program");
    let outcome = Command::new(this)
        .args(["--ignored", "--exact", "tls::with_the_authority_named"])
        .env("SSL_CERT_FILE", path("authority.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .expect("it ran");
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(
        outcome.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
#[ignore = "needs SSL_CERT_FILE; the test above runs it with that"]
fn with_the_authority_named() {
    let stand = Stand::with_voice();
    let plain = stand.hub.address();
    let (hub, address) = encrypted({
        let plain = plain.clone();
        move |request| Reply::to(format!("{plain}{}", request.path))
    });
    let refused = run(&settings(address), &stand.pull_of("hf:o/r")).expect_err("a downgrade");
    assert!(matches!(refused, Error::Downgrade { .. }), "{refused:?}");
    assert_eq!((hub.asked().len(), stand.hub.asked().len()), (1, 0));

    let (package, address) = encrypted(|_| Reply::new(200, "package"));
    let source = hub::Source::parse(&format!("{address}/x.aivm")).expect("a source");
    let pull = hub::Pull::new(source, stand.voices());
    let pulled = run(&settings(plain), &pull).expect("a package");
    assert_eq!(pulled.outcome, Outcome::Fetched);
    assert_eq!(package.asked().len(), 1);
}
