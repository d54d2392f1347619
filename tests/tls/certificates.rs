//! Certificates made for one test: a CA, and what it signs.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::CertificateDer;

/// A certificate and its key, as PEM.
pub struct Signed {
    pub certificate: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

/// A CA of its own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
    pub der: CertificateDer<'static>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Authority {
            certificate: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A server's certificate for 127.0.0.1.
    pub fn server(&self, name: &str) -> Signed {
        self.sign(
            name,
            vec!["127.0.0.1".into(), "localhost".into()],
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// A client's certificate.
    pub fn client(&self, name: &str) -> Signed {
        self.sign(name, vec![name.into()], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, name: &str, names: Vec<String>, usage: ExtendedKeyUsagePurpose) -> Signed {
        let mut params = CertificateParams::new(names).expect("valid names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }
}

/// The files that a broker is given.
pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub fn new() -> Self {
        Files {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        // In one step: the broker may be reading.
        let half = self.path("half");
        std::fs::write(&half, text).expect("written");
        std::fs::rename(&half, &path).expect("renamed");
        path
    }

    /// Writes a server's certificate and key.
    pub fn write_server(&self, server: &Signed) -> (PathBuf, PathBuf) {
        (
            self.write("server.pem", &server.certificate),
            self.write("server.key", &server.key),
        )
    }
}
