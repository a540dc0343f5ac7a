//! The address of an S3 service: `https://host[:port]`, and nothing else.

use super::{AddressError, AddressPolicy};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// Most characters of an endpoint.
pub(super) const MOST_CHARACTERS: usize = 128;

/// The address of an S3 service in its canonical form: scheme, host in lower case, port if it is
/// not the scheme's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    tls: bool,
    host: Host,
    port: u16,
}

/// The host of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name. Each address that it resolves to is checked before a node connects to it.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

/// The reason why a text is not an endpoint that a node uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// A text longer than an endpoint may be.
    #[error("an endpoint has at most {MOST_CHARACTERS} characters, not {0}")]
    TooLong(usize),
    /// A text that does not begin with https or http.
    #[error("endpoint `{0}` must begin with https:// (or http:// on this machine)")]
    Scheme(String),
    /// A text with a path, a query, a user or another part that an endpoint does not have.
    #[error("endpoint `{0}` must be only scheme, host and port, like https://s3.example.com")]
    Form(String),
    /// A host that is neither a name nor an address.
    #[error("the host of endpoint `{0}` is neither a name nor an address")]
    Host(String),
    /// A port outside 1 to 65535.
    #[error("the port of endpoint `{0}` is not in 1 to 65535")]
    Port(String),
    /// A text that is not in canonical form.
    #[error("endpoint `{found}` must be written `{canonical}`")]
    NotCanonical {
        /// The text as given.
        found: String,
        /// The canonical text.
        canonical: String,
    },
    /// An endpoint that is neither encrypted nor on this machine.
    #[error("endpoint `{0}` is not encrypted: use https")]
    Plain(String),
    /// An address that a node does not connect to.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl Endpoint {
    /// Creates the endpoint of a name, over TLS, at the usual port.
    pub(super) fn https(name: String) -> Self {
        Self { tls: true, host: Host::Name(name), port: 443 }
    }

    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Checks the endpoint as far as possible before its name is resolved: the encryption, and an
    /// address instead of a name.
    ///
    /// # Errors
    /// A node does not use this endpoint. The error says why.
    pub fn check(&self, policy: AddressPolicy) -> Result<(), EndpointError> {
        let is_local = match &self.host {
            Host::Address(address) => {
                policy.check(*address)?;
                address.is_loopback()
            }
            Host::Name(name) => name == "localhost" && policy == AddressPolicy::PublicOrLoopback,
        };
        if self.tls || is_local { Ok(()) } else { Err(EndpointError::Plain(self.to_string())) }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MOST_CHARACTERS {
            return Err(EndpointError::TooLong(text.len()));
        }
        let scheme = |name, tls| Some((text.strip_prefix(name)?, tls));
        let (rest, tls) = scheme("https://", true)
            .or_else(|| scheme("http://", false))
            .ok_or_else(|| EndpointError::Scheme(text.into()))?;
        if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)) {
            return Err(EndpointError::Form(text.into()));
        }
        let (host, port) = split_port(rest).ok_or_else(|| EndpointError::Form(text.into()))?;
        let host = parse_host(host).ok_or_else(|| EndpointError::Host(text.into()))?;
        let port = match port {
            None => default_port(tls),
            Some(port) => parse_port(port).ok_or_else(|| EndpointError::Port(text.into()))?,
        };
        let endpoint = Self { tls, host, port };
        match endpoint.to_string() {
            canonical if canonical == text => Ok(endpoint),
            canonical => Err(EndpointError::NotCanonical { found: text.into(), canonical }),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "https://" } else { "http://" })?;
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        if self.port == default_port(self.tls) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&port| port != 0)
}

/// Splits `host[:port]` or `[v6][:port]` into host and port.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let (host, rest) = text.split_at(text.find(']')? + 1);
        return match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    Some(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

fn parse_host(text: &str) -> Option<Host> {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|v6| Host::Address(v6.into()));
    }
    if let Ok(address) = text.parse() {
        return Some(Host::Address(IpAddr::V4(address)));
    }
    // Some resolvers take a last label of digits for an IPv4 address: `127.1`, `0x7f000001`.
    let labels: Vec<&str> = text.split('.').collect();
    let numeric = labels.last().is_none_or(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    (labels.iter().all(|label| is_label(label)) && !numeric).then(|| Host::Name(text.to_ascii_lowercase()))
}

/// Checks whether a text is a part of a host name (RFC 1123).
fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints_as_they_are_written() {
        for text in [
            "https://s3.eu-central-1.amazonaws.com",
            "https://storage.example.com:9000",
            "http://127.0.0.1:4566",
            "http://[::1]:4566",
            "https://1.1.1.1",
            "http://localhost",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint() {
        let refuse = |text: &str| text.parse::<Endpoint>().unwrap_err().to_string();
        assert_eq!(
            refuse("ftp://x.com"),
            "endpoint `ftp://x.com` must begin with https:// (or http:// on this machine)"
        );
        for text in [
            "https://",
            "https://a.com/",
            "https://a.com/b",
            "https://u@a.com",
            "https://a.com?x",
            "https://a b.com",
            "https://ä.com",
            "https://[::1",
            "https://[::1]x",
        ] {
            assert!(matches!(text.parse::<Endpoint>(), Err(EndpointError::Form(_))), "{text}");
        }
        for text in [
            "https://-a.com",
            "https://a..com",
            "https://127.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://[1.2.3.4]",
            "https://a.com.",
            "https://:443",
        ] {
            assert!(matches!(text.parse::<Endpoint>(), Err(EndpointError::Host(_))), "{text}");
        }
        for text in [
            "https://a.com:0",
            "https://a.com:65536",
            "https://a.com:",
            "https://a.com:x",
            "https://a.com:1:2",
        ] {
            assert!(matches!(text.parse::<Endpoint>(), Err(EndpointError::Port(_))), "{text}");
        }
        assert_eq!(refuse("https://A.com"), "endpoint `https://A.com` must be written `https://a.com`");
        assert_eq!(
            refuse("https://a.com:443"),
            "endpoint `https://a.com:443` must be written `https://a.com`"
        );
        assert!(refuse(&format!("https://{}", "a".repeat(200))).contains("at most 128 characters, not 208"));
    }

    #[test]
    fn a_bucket_is_public_and_encrypted() {
        let check = |text: &str, policy| text.parse::<Endpoint>().unwrap().check(policy);
        assert_eq!(check("https://a.com", AddressPolicy::Public), Ok(()));
        assert_eq!(check("http://127.0.0.1:4566", AddressPolicy::PublicOrLoopback), Ok(()));
        assert_eq!(check("http://localhost:4566", AddressPolicy::PublicOrLoopback), Ok(()));
        assert!(matches!(
            check("http://127.0.0.1:4566", AddressPolicy::Public),
            Err(EndpointError::Address(_))
        ));
        assert!(matches!(
            check("https://10.0.0.1", AddressPolicy::PublicOrLoopback),
            Err(EndpointError::Address(_))
        ));
        for policy in [AddressPolicy::Public, AddressPolicy::PublicOrLoopback] {
            assert_eq!(check("http://a.com", policy), Err(EndpointError::Plain("http://a.com".into())));
        }
        assert!(check("http://localhost", AddressPolicy::Public).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_canonical(text in "https?://[a-zA-Z0-9.:\\[\\]-]{0,20}") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                prop_assert_eq!(endpoint.to_string(), text);
            }
        }
    }
}
