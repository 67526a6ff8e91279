//! Certificates for one cluster of this machine, which ends with the process that makes them. Owns their making; the key that
//! signs is forgotten at once, so nobody ever gets another one.

use std::io::{self, Write};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use uuid::Uuid;

use super::tls::{AUTHORITY, CERTIFICATE, KEY, NAME, Tls, TlsError};
use crate::private;

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(super) enum IssueError {
    #[error("no certificates can be made for it: {0}")]
    Make(#[from] rcgen::Error),
    #[error("its certificates cannot be written: {0}")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Use(#[from] TlsError),
}

/// Writes the files of [`Tls`] into `folder`, which this user alone can read: one certificate, for all processes.
pub(super) fn issue(folder: &Path) -> Result<Tls, IssueError> {
    let mut authority = CertificateParams::default();
    // A certificate names its authority, and two may not have one name.
    let name = Uuid::new_v4().simple().to_string();
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    let root = authority.self_signed(&key)?.pem();
    let issuer = Issuer::new(authority, key);

    let mut parameters = CertificateParams::new([String::from(NAME)])?;
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, &issuer)?.pem();
    private::make_folder(folder)?;
    for (file, text) in [
        (AUTHORITY, root),
        (CERTIFICATE, certificate),
        (KEY, key.serialize_pem()),
    ] {
        private::create_file(&folder.join(file))?.write_all(text.as_bytes())?;
    }
    Ok(Tls::open(folder)?)
}
