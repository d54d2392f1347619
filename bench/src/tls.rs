//! Certificates made for a run, and the client's side of TLS.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::url::BrokerUrl;

/// A stream over TLS.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate that signed itself, and its key, in files.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them for this machine's loopback, in a folder that goes with the run.
    pub fn make(folder: &Path) -> io::Result<Certificates> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let certificates = Certificates {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        fs::write(&certificates.certificate, made.cert.pem())?;
        fs::write(&certificates.key, made.signing_key.serialize_pem())?;
        Ok(certificates)
    }
}

/// Puts TLS on a connected socket; the handshake happens with the first bytes.
pub fn wrap(socket: TcpStream, url: &BrokerUrl) -> io::Result<TlsStream> {
    let ca = url
        .ca
        .as_ref()
        .ok_or_else(|| io::Error::other("amqps:// needs --tls-ca"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(io::Error::other)? {
        roots
            .add(certificate.map_err(io::Error::other)?)
            .map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, socket))
}
