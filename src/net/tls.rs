//! Certificates and keys: from files to what a TLS listener accepts with.
//!
//! What the files hold can be exchanged while the broker runs: [`TlsSource::reload`] reads them
//! again. Connections that are open keep what they were accepted with; if the new files are no
//! good, everything stays as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, crypto};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

use crate::broker::notices::Secured;

/// Whether clients show certificates of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// They are not asked for one.
    None,
    /// They are asked; if they show one it must be valid.
    #[default]
    Optional,
    /// Without a valid one they are turned away.
    Required,
}

/// Where certificates and keys lie, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, followed by those between it and a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The roots that client certificates are checked against. Without them clients are not asked.
    pub ca: Option<PathBuf>,
    /// Whether clients show certificates.
    pub client_certificate: ClientCertificate,
}

/// Why TLS cannot be set up.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum TlsError {
    /// A file cannot be read or is no PEM file of the right kind.
    File { path: PathBuf, error: pem::Error },
    /// A file holds no certificate.
    Empty { path: PathBuf },
    /// Certificate and key are of no use, or not together.
    Unusable(rustls::Error),
    /// The roots are of no use.
    Roots(VerifierBuilderError),
    /// Clients must show certificates, but there are no roots to check them against.
    NoRoots,
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Empty { path } => write!(f, "{}: no certificate in it", path.display()),
            Self::Unusable(error) => write!(f, "certificate and key: {error}"),
            Self::Roots(error) => write!(f, "CA certificates: {error}"),
            Self::NoRoots => f.write_str(
                "client certificates are required, but no CA is given to check them against",
            ),
        }
    }
}

impl std::error::Error for TlsError {}

/// See the module.
pub struct TlsSource {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
}

impl TlsSource {
    /// Reads the files.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = ArcSwap::new(server_config(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again, for connections to come.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(server_config(&self.files)?);
        Ok(())
    }

    /// Accepts with what was read last.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::File {
        path: files.key.clone(),
        error,
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?;
    let builder = match (&files.ca, files.client_certificate) {
        (_, ClientCertificate::None) | (None, ClientCertificate::Optional) => {
            builder.with_no_client_auth()
        }
        (None, ClientCertificate::Required) => return Err(TlsError::NoRoots),
        (Some(ca), wanted) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(ca)? {
                roots.add(root).map_err(TlsError::Unusable)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match wanted {
                ClientCertificate::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(TlsError::Roots)?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    // Clients of a broker stay for long: one ticket is enough.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// How a session that has begun is kept secret. Suites are called as `TLS13_AES_256_GCM_SHA384` and
/// `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384`; all that there are authenticate what they encrypt.
pub(super) fn secured(session: &ServerConnection) -> Secured {
    let protocol = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "tlsv1.3",
        _ => "tlsv1.2",
    };
    let suite = session.negotiated_cipher_suite();
    let name = suite
        .and_then(|suite| suite.suite().as_str())
        .unwrap_or_default();
    let (key_exchange, cipher) = match name.split_once("_WITH_") {
        Some((key_exchange, cipher)) => (key_exchange.trim_start_matches("TLS_"), cipher),
        None => ("any", name.trim_start_matches("TLS13_")),
    };
    let cipher = cipher
        .rsplit_once("_SHA")
        .map_or(cipher, |(cipher, _)| cipher);
    Secured {
        protocol,
        key_exchange: key_exchange.to_ascii_lowercase(),
        cipher: cipher.to_ascii_lowercase(),
        hash: "aead".to_owned(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::File {
        path: path.to_path_buf(),
        error,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_path_buf(),
        });
    }
    Ok(certificates)
}
