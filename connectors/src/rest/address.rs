//! Addresses of APIs: which can be the root of one, and which are on this machine.

use url::Url;

/// Whether an address is one of this machine's own.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Reads the root of an API: `http` or `https`, a host, no credentials, no query.
pub(crate) fn root_address(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| format!("is not the address of an API: {why}");
    let url = Url::parse(text).map_err(|cause| wrong(&cause.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong(
            "it must begin with http:// or https:// and name a host",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "credentials belong into options that refer to secrets",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must end with its path"));
    }
    Ok(url)
}
