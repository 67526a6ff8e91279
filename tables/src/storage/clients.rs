//! From a URL and variables to a client. Owns the settings every client has: time limits, retries, counting.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpConnector;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::{
    ClientConfigKey, ClientOptions, Error as ObjectError, ObjectStore, RetryConfig,
    StaticCredentialProvider,
};
use url::Url;

use super::bucket::Bucket;
use super::classify::fault;
use super::fault::ObjectFault;
use super::options::StorageOptions;
use super::pending::{Authorization, PendingUploads};
use super::provider::Provider;
use super::traffic::CountingConnector;
use crate::store::{StoreError, StoreResult};

/// The schemes of URLs that a client can be made for.
pub(super) const SCHEMES: [&str; 7] = ["s3", "s3a", "gs", "az", "abfs", "abfss", "memory"];

/// The time limit of one request. Finishing a large upload can keep a server busy for minutes, and a time-out there
/// leaves open whether it took effect.
const REQUEST_TIMEOUT: &str = "300 seconds";
const CONNECT_TIMEOUT: &str = "10 seconds";
/// How often a request is sent again.
const MAX_RETRIES: &str = "PIPELINES_STORAGE_MAX_RETRIES";
const DEFAULT_RETRIES: u64 = 10;
/// After this many seconds a request is not sent again. Credentials must outlive it.
const RETRY_TIMEOUT: &str = "PIPELINES_STORAGE_RETRY_TIMEOUT";
const DEFAULT_RETRY_TIMEOUT: Duration = Duration::from_secs(180);

/// Memory stores by name: every user of a name in this process sees the same objects.
static MEMORIES: Mutex<Option<HashMap<String, Arc<InMemory>>>> = Mutex::new(None);

/// Scheme and authority of a URL.
pub(super) fn root(url: &Url) -> StoreResult<Url> {
    let unusable = |reason: &str| StoreError::Unusable {
        location: url.to_string(),
        reason: reason.to_owned(),
    };
    if !SCHEMES.contains(&url.scheme()) {
        return Err(unusable(
            "the scheme is none of s3, gs, az, abfs, abfss and memory",
        ));
    }
    if url.scheme() != "memory" && url.host_str().is_none_or(str::is_empty) {
        return Err(unusable(
            "a bucket is missing, as in s3://bucket/folder/table",
        ));
    }
    if url.password().is_some() {
        return Err(unusable(
            "a URL must not hold a password; credentials come from the environment",
        ));
    }
    let root = &url[..url::Position::BeforePath];
    // A memory URL without a name has no authority at all.
    Url::parse(&format!("{root}/")).map_err(|error| unusable(&error.to_string()))
}

pub(super) fn build(root: Url, options: &StorageOptions) -> StoreResult<Bucket> {
    match root.scheme() {
        "s3" | "s3a" => s3(root, options),
        "gs" => google(root, options),
        "memory" => Ok(memory(root)),
        _ => azure(root, options),
    }
}

pub(super) fn retries(root: &Url, options: &StorageOptions) -> StoreResult<RetryConfig> {
    let number = |name: &str, least: u64| match options.get(name) {
        None => Ok(None),
        Some(value) => match value.trim().parse() {
            Ok(number) if number >= least => Ok(Some(number)),
            _ => Err(StoreError::Unusable {
                location: root.to_string(),
                reason: format!("{name} is {value:?}; it must be a whole number from {least} on"),
            }),
        },
    };
    let retries = number(MAX_RETRIES, 0)?.unwrap_or(DEFAULT_RETRIES);
    let timeout = number(RETRY_TIMEOUT, 1)?.map_or(DEFAULT_RETRY_TIMEOUT, Duration::from_secs);
    Ok(RetryConfig {
        max_retries: usize::try_from(retries).unwrap_or(usize::MAX),
        retry_timeout: timeout,
        ..RetryConfig::default()
    })
}

/// The variables with this prefix that the client knows, then the time limits unless they are among them.
fn settings<'a, K: FromStr<Err = ObjectError>>(
    prefix: &'a str,
    options: &'a StorageOptions,
) -> impl Iterator<Item = (K, String)> + 'a {
    let limits = [
        ("TIMEOUT", REQUEST_TIMEOUT),
        ("CONNECT_TIMEOUT", CONNECT_TIMEOUT),
    ]
    .into_iter()
    .filter(move |(name, _)| options.get(&format!("{prefix}{name}")).is_none())
    .map(move |(name, value)| (format!("{prefix}{name}"), value.to_owned()));
    let given = options
        .variables
        .iter()
        .filter(move |(name, _)| name.starts_with(prefix))
        .map(|(name, value)| (name.clone(), value.clone()));
    limits
        .chain(given)
        // Variables that other tools read (AWS_PROFILE, AWS_PAGER) are not ours.
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)))
}

fn unusable(root: &Url, provider: Provider) -> impl Fn(ObjectError) -> StoreError {
    let location = root.to_string();
    move |error| fault("make a client of", location.clone(), provider, error)
}

fn no_credentials(root: &Url, provider: Provider) -> StoreError {
    StoreError::Object {
        action: "use",
        location: root.to_string(),
        fault: ObjectFault::NoCredentials {
            variables: provider.credential_variables(),
        },
        source: Box::new(ObjectError::Generic {
            store: "credentials",
            source: "none of the variables is set".into(),
        }),
    }
}

/// Whether this machine can get credentials from the cloud it runs in. Asking the cloud takes minutes where there is
/// none, so the machine's maker is looked at.
fn runs_in(maker: &str) -> bool {
    std::fs::read_to_string("/sys/class/dmi/id/sys_vendor").is_ok_and(|found| found.contains(maker))
}

fn s3(root: Url, options: &StorageOptions) -> StoreResult<Bucket> {
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
        .iter()
        .find_map(|name| options.get(name))
        .map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    let provider = match &endpoint {
        None => Provider::Aws,
        Some(endpoint) if endpoint.contains(".amazonaws.com") => Provider::Aws,
        Some(endpoint) if endpoint.contains(".r2.cloudflarestorage.com") => Provider::R2,
        Some(_) => Provider::S3Compatible,
    };
    let found = options.is_set(&[
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_METADATA_ENDPOINT",
        "AWS_SKIP_SIGNATURE",
    ]);
    if !found && !runs_in("Amazon") {
        return Err(no_credentials(&root, provider));
    }
    let name = root.host_str().unwrap_or_default().to_owned();
    let connector = CountingConnector::default();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&name)
        .with_retry(retries(&root, options)?)
        .with_http_connector(connector.clone());
    for (key, value) in settings::<AmazonS3ConfigKey>("AWS_", options) {
        // The bucket is the URL's.
        if key != AmazonS3ConfigKey::Bucket {
            builder = builder.with_config(key, value);
        }
    }
    let region = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .iter()
        .find_map(|name| options.get(name))
        .unwrap_or("us-east-1")
        .to_owned();
    let store = Arc::new(builder.build().map_err(unusable(&root, provider))?);
    let virtual_hosted = options
        .get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let bucket_url = match endpoint {
        Some(endpoint) if virtual_hosted => endpoint,
        Some(endpoint) => format!("{endpoint}/{name}"),
        None => format!("https://s3.{region}.amazonaws.com/{name}"),
    };
    let client = connector
        .connect(&client_options::<AmazonS3ConfigKey>(
            "AWS_",
            options,
            |key| match key {
                AmazonS3ConfigKey::Client(key) => Some(key),
                _ => None,
            },
        ))
        .map_err(unusable(&root, provider))?;
    let signed = options.get("AWS_SKIP_SIGNATURE").is_none();
    let authorization = Authorization::Aws {
        credentials: Arc::clone(store.credentials()),
        region,
        signed,
    };
    Ok(Bucket {
        provider,
        root,
        pending: Some(PendingUploads::new(client, bucket_url, authorization)),
        multipart: Some(Arc::clone(&store) as _),
        store,
        counters: connector.counters,
    })
}

/// The same options of the connection as the store's own client has.
fn client_options<K: FromStr<Err = ObjectError>>(
    prefix: &str,
    options: &StorageOptions,
    of_client: impl Fn(K) -> Option<ClientConfigKey>,
) -> ClientOptions {
    settings::<K>(prefix, options)
        .filter_map(|(key, value)| Some((of_client(key)?, value)))
        .fold(ClientOptions::new(), |client, (key, value)| {
            client.with_config(key, value)
        })
}

fn google(root: Url, options: &StorageOptions) -> StoreResult<Bucket> {
    let provider = Provider::Google;
    let found = options.is_set(&[
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_SKIP_SIGNATURE",
        "GOOGLE_OAUTH_ACCESS_TOKEN",
    ]);
    let well_known = std::env::home_dir().is_some_and(|home| {
        home.join(".config/gcloud/application_default_credentials.json")
            .exists()
    });
    if !found && !well_known && !runs_in("Google") {
        return Err(no_credentials(&root, provider));
    }
    let name = root.host_str().unwrap_or_default().to_owned();
    let connector = CountingConnector::default();
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&name)
        .with_retry(retries(&root, options)?)
        .with_http_connector(connector.clone());
    for (key, value) in settings::<GoogleConfigKey>("GOOGLE_", options) {
        if key != GoogleConfigKey::Bucket {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(token) = options.get("GOOGLE_OAUTH_ACCESS_TOKEN") {
        let bearer = token.to_owned();
        builder =
            builder.with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential {
                bearer,
            })));
    }
    let store = Arc::new(builder.build().map_err(unusable(&root, provider))?);
    let base = options
        .get("GOOGLE_BASE_URL")
        .unwrap_or("https://storage.googleapis.com")
        .trim_end_matches('/');
    let bucket_url = format!("{base}/{name}");
    let client = connector
        .connect(&client_options::<GoogleConfigKey>(
            "GOOGLE_",
            options,
            |key| match key {
                GoogleConfigKey::Client(key) => Some(key),
                _ => None,
            },
        ))
        .map_err(unusable(&root, provider))?;
    let authorization = Authorization::Google {
        credentials: Arc::clone(store.credentials()),
    };
    Ok(Bucket {
        provider,
        root,
        pending: Some(PendingUploads::new(client, bucket_url, authorization)),
        multipart: Some(Arc::clone(&store) as _),
        store,
        counters: connector.counters,
    })
}

fn azure(root: Url, options: &StorageOptions) -> StoreResult<Bucket> {
    let provider = Provider::Azure;
    let found = options.is_set(&[
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_STORAGE_CLIENT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_MSI_ENDPOINT",
        "AZURE_IDENTITY_ENDPOINT",
        "AZURE_USE_AZURE_CLI",
        "AZURE_SKIP_SIGNATURE",
        "AZURE_STORAGE_USE_EMULATOR",
    ]);
    if !found && !runs_in("Microsoft") {
        return Err(no_credentials(&root, provider));
    }
    let connector = CountingConnector::default();
    let mut builder = MicrosoftAzureBuilder::new()
        .with_url(root.as_str())
        .with_retry(retries(&root, options)?)
        .with_http_connector(connector.clone());
    for (key, value) in settings::<AzureConfigKey>("AZURE_", options) {
        if key != AzureConfigKey::ContainerName {
            builder = builder.with_config(key, value);
        }
    }
    let store = Arc::new(builder.build().map_err(unusable(&root, provider))?);
    Ok(Bucket {
        provider,
        root,
        // Blocks that no list names go by themselves after a week, and cannot be dropped before.
        pending: None,
        multipart: Some(Arc::clone(&store) as _),
        store,
        counters: connector.counters,
    })
}

fn memory(root: Url) -> Bucket {
    let mut memories = MEMORIES.lock().unwrap_or_else(PoisonError::into_inner);
    let store = memories
        .get_or_insert_default()
        .entry(root.to_string())
        .or_default();
    Bucket {
        provider: Provider::Memory,
        root,
        store: Arc::clone(store) as Arc<dyn ObjectStore>,
        // The client's uploads in memory lose parts that are sent twice.
        multipart: None,
        pending: None,
        counters: Arc::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn open(url: &str, variables: &[(&str, &str)]) -> StoreResult<Arc<Bucket>> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        super::super::bucket(
            &Url::parse(url).unwrap(),
            &StorageOptions::from_variables(variables),
        )
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")];

    #[test]
    fn the_provider_follows_from_the_scheme_and_the_endpoint() {
        let with = |endpoint: &'static str| {
            let mut variables = KEYS.to_vec();
            variables.push(("AWS_ENDPOINT_URL", endpoint));
            variables
        };
        for (url, variables, provider) in [
            ("s3://lake/t", KEYS.to_vec(), Provider::Aws),
            (
                "s3://lake/t",
                with("https://a.r2.cloudflarestorage.com"),
                Provider::R2,
            ),
            (
                "s3a://lake/t",
                with("http://127.0.0.1:3900"),
                Provider::S3Compatible,
            ),
            (
                "gs://lake/t",
                vec![("GOOGLE_SKIP_SIGNATURE", "true")],
                Provider::Google,
            ),
            (
                "az://lake/t",
                vec![
                    ("AZURE_STORAGE_ACCOUNT_NAME", "name"),
                    ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5"),
                ],
                Provider::Azure,
            ),
            (
                "abfss://lake@name.dfs.core.windows.net/t",
                vec![("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")],
                Provider::Azure,
            ),
            ("memory:///t", Vec::new(), Provider::Memory),
        ] {
            let bucket = open(url, &variables).unwrap();
            assert_eq!(bucket.provider(), provider, "{url}");
        }
    }

    #[test]
    fn a_limit_of_retries_that_is_no_number_is_refused_by_its_name() {
        for (name, value) in [
            ("PIPELINES_STORAGE_MAX_RETRIES", "many"),
            ("PIPELINES_STORAGE_RETRY_TIMEOUT", "0"),
        ] {
            let mut variables = KEYS.to_vec();
            variables.push((name, value));
            let error = open("s3://lake/t", &variables).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }

    #[test]
    fn clones_of_options_share_clients_and_counts_and_others_do_not() {
        let options = || {
            let variables = KEYS.map(|(name, value)| (name.to_owned(), value.to_owned()));
            StorageOptions::from_variables(variables)
        };
        let url = |text: &str| Url::parse(text).unwrap();
        let first = options();
        let copies = [first.clone(), first];
        let [one, same] = copies
            .each_ref()
            .map(|options| super::super::bucket(&url("s3://shared/a/t"), options).unwrap());
        assert!(Arc::ptr_eq(&one, &same));
        let other = super::super::bucket(&url("s3://shared/b"), &options()).unwrap();
        assert!(!Arc::ptr_eq(&one, &other));
        assert_eq!(copies[0].traffic().len(), 1);
    }

    #[test]
    fn a_variable_that_is_no_text_is_an_error_where_a_bucket_is_opened() {
        let mut variables = KEYS
            .map(|(name, value)| (name, OsString::from(value)))
            .to_vec();
        for name in ["AWS_REGION", "PATH"] {
            variables.push((name, OsString::from_vec(vec![0xff])));
        }
        let options = StorageOptions::from_environment(&variables.into_iter().collect());
        let url = Url::parse("s3://shared/t").unwrap();
        let error = super::super::bucket(&url, &options)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("AWS_REGION has a value that is not Unicode"),
            "{error}"
        );
    }

    #[test]
    fn missing_credentials_are_told_at_once_with_the_variables_that_give_some() {
        for (url, variable) in [
            ("s3://bare/t", "AWS_ACCESS_KEY_ID"),
            ("az://bare/t", "AZURE_STORAGE_ACCOUNT_KEY"),
        ] {
            let error = open(url, &[]).unwrap_err().to_string();
            assert!(error.contains(variable), "{error}");
        }
    }

    #[test]
    fn a_url_without_a_bucket_or_with_a_password_is_refused() {
        for url in ["s3:///t", "s3://ada:hunter2@lake/t", "ftp://host/t"] {
            let error = open(url, &KEYS).unwrap_err();
            assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
        }
    }
}
