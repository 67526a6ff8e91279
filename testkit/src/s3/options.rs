//! How an S3 server is started, and where it differs from AWS.

/// Where services that call themselves S3 differ. The default is AWS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Completing an upload again is answered with `NoSuchUpload` (MinIO, Garage) instead of the same ETag.
    pub completed_uploads_are_forgotten: bool,
    /// `If-Match` and `If-None-Match` of writes are not looked at, and no error says so (Garage).
    pub conditions_are_ignored: bool,
    /// A key has one pending upload: a new one, a write and a deletion each end it (Garage).
    pub one_upload_per_key: bool,
}

impl Behaviour {
    /// What Garage 2.5 does.
    pub const GARAGE: Self = Self {
        completed_uploads_are_forgotten: true,
        conditions_are_ignored: true,
        one_upload_per_key: true,
    };
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The one bucket.
    pub bucket: String,
    /// The key id that requests are signed with.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The most items of one page of a listing, at most 1000 as on AWS.
    pub page: usize,
    /// Where it differs from AWS.
    pub behaviour: Behaviour,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            bucket: String::from("lake"),
            access_key: String::from("AKIDTEST"),
            secret_key: String::from("a-secret-of-tests"),
            region: String::from("eu-test-1"),
            page: 1000,
            behaviour: Behaviour::default(),
        }
    }
}
