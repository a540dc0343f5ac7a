//! Addresses of nodes. They may hold secrets: providers put keys into the path, the query or before the host.

use std::{fmt, net::IpAddr, sync::Arc};

/// The URL of a node. It prints only scheme, host and port, so that errors and logs can be shared.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Arc<str>);

impl Endpoint {
    /// Creates an endpoint from a URL. Does not check it.
    pub fn new(url: &str) -> Self {
        Self(url.into())
    }

    /// Returns whether the node is on this machine, as far as the address tells.
    pub fn is_loopback(&self) -> bool {
        let Some((_, host)) = shown(&self.0) else { return false };
        let name = host.strip_prefix('[').and_then(|host| host.split(']').next());
        let name = name.unwrap_or_else(|| host.split(':').next().unwrap_or_default());
        name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// Returns the whole URL with its secrets, for connecting.
    pub(crate) fn secret_url(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match shown(&self.0) {
            Some((scheme, host)) => write!(f, "{scheme}://{host}"),
            None => f.write_str("(an address without ws:// or wss:// and a host)"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the scheme, and the host with its port. Returns `None` for any other form of address, since
/// any part of it may be the secret.
fn shown(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '\\', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let after_name = host.rsplit(']').next()?;
    let port = after_name.split_once(':').map_or("", |(_, port)| port);
    let is_plain = matches!(scheme, "ws" | "wss") && !host.is_empty();
    (is_plain && port.bytes().all(|byte| byte.is_ascii_digit())).then_some((scheme, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_and_port_are_shown() {
        for (url, expected) in [
            ("wss://entrypoint-finney.opentensor.ai:443", "wss://entrypoint-finney.opentensor.ai:443"),
            ("ws://127.0.0.1:9944/", "ws://127.0.0.1:9944"),
            ("ws://[::1]:9944/KEY", "ws://[::1]:9944"),
            ("wss://example.org", "wss://example.org"),
        ] {
            assert_eq!(Endpoint::new(url).to_string(), expected);
        }
    }

    #[test]
    fn nodes_on_this_machine_are_known() {
        for url in ["ws://127.0.0.1:9944", "ws://localhost", "ws://[::1]:9944/x", "ws://127.1.2.3"] {
            assert!(Endpoint::new(url).is_loopback(), "{url}");
        }
        for url in ["wss://example.org", "ws://10.0.0.1:9944", "ws://127.0.0.1.example.org", "127.0.0.1"] {
            assert!(!Endpoint::new(url).is_loopback(), "{url}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        for url in [
            "wss://example.org/KEY",
            "wss://example.org/v1/KEY/ws",
            "wss://example.org?apikey=KEY",
            "wss://example.org:443/#KEY",
            "wss://user:KEY@example.org:443/x",
            "wss://KEY@example.org",
            "wss://a@KEY@example.org",
            "wss://user:KEY/more@example.org",
            "https://KEY",
            "KEY",
        ] {
            let endpoint = Endpoint::new(url);
            assert!(!format!("{endpoint} {endpoint:?}").contains("KEY"), "{url}: {endpoint}");
        }
    }
}
