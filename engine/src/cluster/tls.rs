//! Who may speak with the processes of a cluster: those that have a certificate of its own authority, and nobody else (mutual
//! TLS). Owns the files, and what is made of them for each kind of connection.
//!
//! Every process proves itself to every other with a certificate for the name [`NAME`], whatever its address is: executors
//! are reached by addresses that nobody knows before, and the authority signs for this cluster only.
//!
//! Ballista 55 dials `http://` from scheduler to executor, twice (`executor_manager.rs`). One of them, and every fetch of
//! shuffled data, hands the endpoint to a function of ours first ([`Tls::endpoints`]). The other only tries, when an executor
//! registers, whether its port can be connected to, and sends nothing. Executors dial with [`super::client`].

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ballista_core::extension::EndpointOverrideFn;
use ballista_core::utils::create_grpc_client_endpoint;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::connection::client_config;
use crate::chain;

/// The name in the certificate of every process of a cluster.
pub(super) const NAME: &str = "spillway";

/// The files of a folder, named as in a secret of Kubernetes' type `kubernetes.io/tls`.
pub(super) const AUTHORITY: &str = "ca.crt";
pub(super) const CERTIFICATE: &str = "tls.crt";
pub(super) const KEY: &str = "tls.key";

/// A folder of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the certificates in {} cannot be used: {reason}; it needs {AUTHORITY}, {CERTIFICATE} (for the name {NAME}) and {KEY}",
    folder.display()
)]
pub struct TlsError {
    folder: PathBuf,
    reason: String,
}

/// A folder with this process's certificate and key, and the certificate of the authority that signed those of all others.
///
/// The files are read again for every connection, so that certificates can be renewed while a process runs. Connections that
/// exist stay.
#[derive(Debug, Clone)]
pub struct Tls {
    folder: Arc<Path>,
}

/// The files' contents.
struct Files {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// The certificates in `folder`.
    ///
    /// # Errors
    /// When one is missing or broken, is out of date, or others would not accept it.
    pub fn open(folder: &Path) -> Result<Self, TlsError> {
        let tls = Self {
            folder: folder.into(),
        };
        tls.server()?;
        tls.verify_own()?;
        Ok(tls)
    }

    /// What Ballista shall do with each endpoint before it connects there.
    pub fn endpoints(&self) -> EndpointOverrideFn {
        let tls = self.clone();
        Arc::new(move |endpoint| tls.endpoint(&endpoint).map_err(Into::into))
    }

    /// The same endpoint for TLS.
    pub(super) fn endpoint(&self, endpoint: &Endpoint) -> Result<Endpoint, TlsError> {
        let files = self.files()?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(files.authority))
            .identity(Identity::from_pem(files.certificate, files.key))
            .domain_name(NAME);
        // An endpoint's address cannot be changed, and its settings cannot be read: one for `http://` is made again.
        let address = endpoint.uri().to_string();
        let endpoint = match address.strip_prefix("http://") {
            None => Ok(endpoint.clone()),
            Some(rest) => {
                create_grpc_client_endpoint(format!("https://{rest}"), Some(&client_config()))
            }
        };
        endpoint
            .and_then(|endpoint| endpoint.tls_config(tls))
            .map_err(|error| self.unusable(&error))
    }

    /// A client for the routes beside gRPC, all of which it finds at `host`; its URLs have the name [`NAME`].
    pub(super) fn http(
        &self,
        host: &str,
        client: reqwest::ClientBuilder,
    ) -> Result<reqwest::ClientBuilder, TlsError> {
        let mut files = self.files()?;
        files.certificate.extend(&files.key);
        let identity = reqwest::Identity::from_pem(&files.certificate);
        let authority = reqwest::Certificate::from_pem_bundle(&files.authority);
        let mut client = client
            .identity(identity.map_err(|error| self.unusable(&error))?)
            .tls_built_in_root_certs(false)
            .https_only(true)
            .dns_resolver(Arc::new(Always(host.into())));
        for certificate in authority.map_err(|error| self.unusable(&error))? {
            client = client.add_root_certificate(certificate);
        }
        Ok(client)
    }

    /// What a server does with a new connection: both sides show their certificates.
    pub(super) fn server(&self) -> Result<ServerConfig, TlsError> {
        let files = self.files()?;
        let provider = provider();
        let roots = Arc::new(self.roots(&files)?);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let key = PrivateKeyDer::from_pem_slice(&files.key);
        let key = key.map_err(|error| self.broken(KEY, &error))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| self.unusable(&error))?
            .with_client_cert_verifier(verifier.map_err(|error| self.unusable(&error))?)
            .with_single_cert(self.certificates(CERTIFICATE, &files.certificate)?, key)
            .map_err(|error| self.unusable(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Looks at the own certificate as others will.
    fn verify_own(&self) -> Result<(), TlsError> {
        let files = self.files()?;
        let roots = Arc::new(self.roots(&files)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| self.unusable(&error))?;
        let certificates = self.certificates(CERTIFICATE, &files.certificate)?;
        let (own, others) = certificates
            .split_first()
            .ok_or_else(|| self.wrong(format!("{CERTIFICATE} has no certificate")))?;
        let name = ServerName::try_from(NAME).map_err(|error| self.unusable(&error))?;
        verifier
            .verify_server_cert(own, others, &name, &[], UnixTime::now())
            .map_err(|error| self.broken(CERTIFICATE, &error))?;
        Ok(())
    }

    fn roots(&self, files: &Files) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(AUTHORITY, &files.authority)? {
            let added = roots.add(certificate);
            added.map_err(|error| self.broken(AUTHORITY, &error))?;
        }
        Ok(roots)
    }

    fn certificates(
        &self,
        file: &str,
        pem: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| self.broken(file, &error))
    }

    fn files(&self) -> Result<Files, TlsError> {
        let read = |file: &str| {
            std::fs::read(self.folder.join(file)).map_err(|error| self.broken(file, &error))
        };
        Ok(Files {
            authority: read(AUTHORITY)?,
            certificate: read(CERTIFICATE)?,
            key: read(KEY)?,
        })
    }

    fn broken(&self, file: &str, error: &(dyn Error + 'static)) -> TlsError {
        self.wrong(format!("{file}: {}", chain(error)))
    }

    fn unusable(&self, error: &(dyn Error + 'static)) -> TlsError {
        self.wrong(chain(error))
    }

    fn wrong(&self, reason: String) -> TlsError {
        TlsError {
            folder: self.folder.to_path_buf(),
            reason,
        }
    }
}

/// Named, so that it does not depend on what other libraries of the process were built with.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Finds every name at one host.
struct Always(Arc<str>);

impl Resolve for Always {
    fn resolve(&self, _: Name) -> Resolving {
        let host = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host.as_ref(), 0)).await;
            let addresses: io::Result<Vec<SocketAddr>> = addresses.map(Iterator::collect);
            Ok(Box::new(addresses?.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use testkit::certificates::Authority;

    use super::*;

    /// What is said of the certificates that `make` leaves.
    fn refused(make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<String> {
        let folder = tempfile::tempdir()?;
        make(folder.path())?;
        match Tls::open(folder.path()) {
            Ok(_) => anyhow::bail!("they were accepted"),
            Err(error) => Ok(error.to_string()),
        }
    }

    #[test]
    fn certificates_that_others_would_refuse_are_refused_at_once() -> anyhow::Result<()> {
        let (ours, foreign) = (Authority::new()?, Authority::new()?);
        let folder = tempfile::tempdir()?;
        ours.issue(folder.path(), NAME)?;
        Tls::open(folder.path())?;

        let said = refused(|_| Ok(()))?;
        assert!(said.contains("ca.crt: No such file"), "{said}");
        let said = refused(|folder| ours.issue(folder, "elsewhere"))?;
        assert!(
            said.contains("tls.crt: ") && said.contains("elsewhere"),
            "{said}"
        );
        let said = refused(|folder| ours.issue_expired(folder))?;
        assert!(
            said.contains("tls.crt: ") && said.contains("expired"),
            "{said}"
        );
        let said = refused(|folder| {
            ours.issue(folder, NAME)?;
            let other = tempfile::tempdir()?;
            foreign.issue(other.path(), NAME)?;
            std::fs::copy(other.path().join(AUTHORITY), folder.join(AUTHORITY))?;
            Ok(())
        })?;
        assert!(
            said.contains("tls.crt: ") && said.contains("UnknownIssuer"),
            "{said}"
        );
        let said = refused(|folder| {
            ours.issue(folder, NAME)?;
            let other = tempfile::tempdir()?;
            ours.issue(other.path(), NAME)?;
            std::fs::copy(other.path().join(KEY), folder.join(KEY))?;
            Ok(())
        })?;
        assert!(said.contains("KeyMismatch"), "{said}");
        let said = refused(|folder| {
            ours.issue(folder, NAME)?;
            Ok(std::fs::write(folder.join(KEY), "no key")?)
        })?;
        assert!(said.contains("tls.key: "), "{said}");
        Ok(())
    }
}
