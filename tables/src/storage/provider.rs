//! Whose storage a bucket is on, and the variables that hold its credentials.

/// Whose storage it is: decides on prices, advice, and what may be assumed of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Amazon S3 itself.
    Aws,
    /// Cloudflare R2.
    R2,
    /// Another server that speaks S3, by its own endpoint.
    S3Compatible,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
    /// The memory of this process.
    Memory,
}

impl Provider {
    /// The variables that hold its credentials.
    pub(super) fn credential_variables(self) -> &'static str {
        match self {
            Self::Aws | Self::R2 | Self::S3Compatible => {
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or \
                 AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN"
            }
            Self::Google => "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT",
            Self::Azure => {
                "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or AZURE_STORAGE_SAS_TOKEN, or \
                 AZURE_CLIENT_ID with AZURE_CLIENT_SECRET and AZURE_TENANT_ID)"
            }
            Self::Memory => "nothing",
        }
    }
}
