//! TLS to the servers: whom this process trusts, and who it says it is.
//!
//! rustls with ring, everywhere and nothing else. With a CA file only its certificates are trusted,
//! without one those that browsers trust (compiled in, whatever the machine has). The name or
//! address that is connected to must be in the server's certificate: nothing here turns that off.
//! (The databases' client has its own rules, in their URLs; docs/operations.md.)

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The files, each empty for none; a client certificate needs both of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Whom to trust: PEM, one certificate at least.
    pub ca: PathBuf,
    /// The client's certificate with what leads to its CA: PEM.
    pub cert: PathBuf,
    /// Its key: PEM.
    pub key: PathBuf,
}

/// The client's certificate and key, both PEM.
pub struct ClientIdentity {
    /// The certificate with what leads to its CA.
    pub cert: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

/// Makes ring the provider of libraries that do not choose one. Any number of times.
pub fn provide() {
    // The error says that it is there already.
    let _ = ring::default_provider().install_default();
}

impl Files {
    /// The PEM text of those to trust; `None` for the ones that browsers trust.
    pub fn trusted(&self) -> Result<Option<Vec<u8>>, String> {
        if is_none(&self.ca) {
            return Ok(None);
        }
        let pem = read(&self.ca)?;
        certificates(&self.ca, &pem)?;
        Ok(Some(pem))
    }

    /// Who this client is, when it has a certificate.
    pub fn identity(&self) -> Result<Option<ClientIdentity>, String> {
        if is_none(&self.cert) && is_none(&self.key) {
            return Ok(None);
        }
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        certificates(&self.cert, &cert)?;
        private_key(&self.key, &key)?;
        Ok(Some(ClientIdentity { cert, key }))
    }

    /// A configuration for a client; the files are read now.
    pub fn client(&self) -> Result<ClientConfig, String> {
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let trusting = versions.with_root_certificates(self.roots()?);
        let Some(me) = self.identity()? else { return Ok(trusting.with_no_client_auth()) };
        let chain = certificates(&self.cert, &me.cert)?;
        let key = private_key(&self.key, &me.key)?;
        let config = trusting.with_client_auth_cert(chain, key);
        config.map_err(|e| format!("{}: {e}", self.cert.display()))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match self.trusted()? {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                for one in certificates(&self.ca, &pem)? {
                    roots.add(one).map_err(|e| format!("{}: {e}", self.ca.display()))?;
                }
            }
        }
        Ok(roots)
    }
}

fn is_none(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|e| format!("{}: no PEM: {e}", path.display()))?;
    if all.is_empty() {
        return Err(format!("{}: no certificate in it", path.display()));
    }
    Ok(all)
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem);
    key.map_err(|e| format!("{}: no private key in PEM: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_certificates_are_told_in_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let files = Files { ca: file.clone(), ..Files::default() };
        let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
        let half = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        for (text, why) in [
            (None, "No such file"),
            (Some(""), "no certificate"),
            (Some("hello"), "no certificate"),
            (Some(broken), "no PEM"),
            (Some(half), "no PEM"),
            (Some(empty), "ca.pem"),
        ] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let e = files.client().unwrap_err();
            assert!(e.contains("ca.pem") && e.contains(why), "{text:?}: {e}");
            assert_eq!(e.lines().count(), 1, "{e}");
        }
    }

    #[test]
    fn without_files_the_usual_ones_are_trusted() {
        provide();
        provide();
        assert!(Files::default().client().is_ok());
        assert!(Files::default().trusted().unwrap().is_none());
        let half = Files { cert: "/there/is/none".into(), ..Files::default() };
        assert!(half.client().unwrap_err().contains("/there/is/none"));
    }
}
