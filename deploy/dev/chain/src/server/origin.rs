//! Decides which requests from a browser are answered.
//!
//! A browser lets every web page open a WebSocket to this machine; such a request is recognized by its
//! `Origin`. It also lets a page whose name was pointed at this machine's address (DNS rebinding) send
//! any request; such a request is recognized by its `Host`. Programs send no `Origin`, or that of the
//! address they talk to.

use std::net::IpAddr;

/// The reason why a request is refused. The client gets this text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    #[error(
        "Host `{0}` is refused: devchain answers to IP addresses and localhost only; use one of these in the URL\n"
    )]
    Host(String),
    #[error("Origin `{0}` may not use this devchain; add it to the setting rpc.origins to admit it\n")]
    Origin(String),
}

/// Refuses requests from a web page that is neither of this machine nor among the `allowed` origins.
pub(super) fn check(host: Option<&str>, origin: Option<&str>, allowed: &[String]) -> Result<(), Stranger> {
    if let Some(host) = host
        && !is_localhost(name(host))
        && address(host).is_none()
    {
        return Err(Stranger::Host(host.into()));
    }
    let Some(origin) = origin else { return Ok(()) };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let is_local = authority.is_some_and(|authority| {
        is_localhost(name(authority)) || address(authority).is_some_and(|address| address.is_loopback())
    });
    let is_own = host.is_some() && authority == host;
    if is_local || is_own || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    Err(Stranger::Origin(origin.into()))
}

/// Checks whether a text is an origin: `scheme://host`, optionally with a port, or `null`.
pub(crate) fn is_origin(text: &str) -> bool {
    let is_authority = |authority: &str| {
        !authority.is_empty() && !authority.contains(|c: char| c == '/' || c == '*' || c.is_whitespace())
    };
    text == "null"
        || text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && is_authority(rest))
}

fn is_localhost(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
}

fn address(authority: &str) -> Option<IpAddr> {
    name(authority).parse().ok()
}

/// Returns `authority` without its port, and without the brackets of an IPv6 address.
fn name(authority: &str) -> &str {
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    authority.split_once(':').map_or(authority, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_pages_of_this_machine_may() {
        let host = Some("127.0.0.1:9944");
        for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8000", "HTTP://LOCALHOST"]
        {
            assert_eq!(check(host, Some(origin), &[]), Ok(()), "{origin}");
        }
        for host in ["localhost", "LocalHost:1", "[::1]:9944", "192.168.1.5:9944"] {
            assert_eq!(check(Some(host), None, &[]), Ok(()), "{host}");
        }
        assert_eq!(check(None, None, &[]), Ok(()));
        assert_eq!(check(Some("192.168.1.5:9944"), Some("http://192.168.1.5:9944"), &[]), Ok(()));
    }

    #[test]
    fn pages_of_elsewhere_may_not_unless_they_are_listed() {
        let host = Some("127.0.0.1:9944");
        let strangers = [
            "https://evil.example",
            "https://localhost.evil.example",
            "https://127.0.0.1.evil.example",
            "http://192.168.1.5",
            "null",
            "localhost",
            "",
        ];
        for origin in strangers {
            assert_eq!(check(host, Some(origin), &[]), Err(Stranger::Origin(origin.into())));
            assert_eq!(check(host, Some(origin), &[origin.into()]), Ok(()));
        }
    }

    #[test]
    fn names_may_not_be_hosts() {
        for host in
            ["evil.example", "evil.example:9944", "localhost.evil.example", "127.0.0.1.evil.example", ""]
        {
            let expected = Err(Stranger::Host(host.into()));
            assert_eq!(check(Some(host), None, &[]), expected);
            assert_eq!(check(Some(host), Some(&format!("http://{host}")), &[]), expected, "an own page");
        }
    }

    #[test]
    fn origins_have_no_path() {
        for origin in ["https://polkadot.js.org", "http://10.0.0.1:80", "null"] {
            assert!(is_origin(origin), "{origin}");
        }
        for text in ["polkadot.js.org", "https://polkadot.js.org/", "https://*.org", "://x", "https://", "*"]
        {
            assert!(!is_origin(text), "{text}");
        }
    }
}
