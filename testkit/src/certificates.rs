//! An authority that signs the certificates of a cluster, in the files that its processes read.

use std::path::Path;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// The name for which the processes of a cluster have certificates.
pub const NAME: &str = "spillway";

/// Signs certificates.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one, whom nobody knows.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        // A certificate names its authority, and two may not have one name.
        let name = hex::encode(&key.public_key_raw()[1..9]);
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = parameters.self_signed(&key)?.pem();
        Ok(Self {
            certificate,
            issuer: Issuer::new(parameters, key),
        })
    }

    /// Writes `ca.crt`, `tls.crt` for `name`, and `tls.key` into `folder`.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn issue(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        self.write(folder, CertificateParams::new([String::from(name)])?)
    }

    /// As [`Authority::issue`] for [`NAME`], of a certificate that was good long ago.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn issue_expired(&self, folder: &Path) -> anyhow::Result<()> {
        let mut parameters = CertificateParams::new([String::from(NAME)])?;
        parameters.not_before = date_time_ymd(2001, 1, 1);
        parameters.not_after = date_time_ymd(2001, 2, 1);
        self.write(folder, parameters)
    }

    fn write(&self, folder: &Path, mut parameters: CertificateParams) -> anyhow::Result<()> {
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        std::fs::create_dir_all(folder)?;
        for (file, text) in [
            ("ca.crt", self.certificate.clone()),
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
        ] {
            let path = folder.join(file);
            std::fs::write(&path, text).with_context(|| format!("cannot write {path:?}"))?;
        }
        Ok(())
    }
}
