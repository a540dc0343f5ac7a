//! Decides to which network addresses a node connects for a bucket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network addresses that a bucket may have.
///
/// A neuron can announce any endpoint. A node that followed it into its own network would let
/// strangers make requests there: to the metadata service of a cloud, or to a router. So a node
/// connects to public addresses alone. It checks the address that it connects to, after the name
/// was resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Addresses on the public internet, over TLS.
    #[default]
    Public,
    /// Also addresses of this machine: for development networks.
    PublicOrLoopback,
}

/// The reason why a node does not connect to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// An address of this machine.
    #[error("{0} is this machine: buckets on it are for development networks only")]
    Loopback(IpAddr),
    /// An address that is not on the public internet.
    #[error("{0} is not a public address: every node must be able to reach a bucket")]
    NotPublic(IpAddr),
}

impl AddressPolicy {
    /// Checks whether a node may connect to an address.
    ///
    /// # Errors
    /// The address is not allowed. The error says why.
    pub fn check(self, address: IpAddr) -> Result<(), AddressError> {
        let effective = effective(address);
        match (effective.is_loopback(), self) {
            (true, Self::PublicOrLoopback) => Ok(()),
            (true, Self::Public) => Err(AddressError::Loopback(address)),
            (false, _) if is_public(effective) => Ok(()),
            (false, _) => Err(AddressError::NotPublic(address)),
        }
    }
}

/// Returns the address where packets end up: IPv4 within IPv6 is IPv4.
fn effective(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let last = || Ipv4Addr::from(u32::from(segments[6]) << 16 | u32::from(segments[7]));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => IpAddr::V4(last()),
        _ => address,
    }
}

/// Checks whether an address is on the public internet, by IANA's registries of special addresses
/// (RFC 6890 and successors).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !SPECIAL_V4.iter().any(|&(net, bits)| within_v4(v4, net, bits)),
        // 2000::/3 is the only range that has been given out for the internet.
        IpAddr::V6(v6) => {
            within_v6(v6, [0x2000, 0], 3) && !SPECIAL_V6.iter().any(|&(net, bits)| within_v6(v6, net, bits))
        }
    }
}

/// IPv4 networks that are not the public internet.
const SPECIAL_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),       // this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // carriers' own
    ([127, 0, 0, 0], 8),     // this machine
    ([169, 254, 0, 0], 16),  // link-local, clouds' metadata services
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 31, 196, 0], 24), // AS112
    ([192, 52, 193, 0], 24), // AMT
    ([192, 88, 99, 0], 24),  // 6to4 relays
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 3),     // multicast and reserved
];

/// Networks within 2000::/3 that are not the public internet, by their first 32 bits.
const SPECIAL_V6: [([u16; 2], u32); 4] = [
    ([0x2001, 0], 23),     // protocol assignments, Teredo
    ([0x2001, 0xdb8], 32), // documentation
    ([0x2002, 0], 16),     // 6to4: IPv4 in disguise
    ([0x3fff, 0], 20),     // documentation
];

fn within_v4(address: Ipv4Addr, net: [u8; 4], bits: u32) -> bool {
    (u32::from(address) ^ u32::from_be_bytes(net)) >> (32 - bits) == 0
}

fn within_v6(address: Ipv6Addr, net: [u16; 2], bits: u32) -> bool {
    let [a, b, ..] = address.segments();
    let first = |[a, b]: [u16; 2]| u32::from(a) << 16 | u32::from(b);
    (first([a, b]) ^ first(net)) >> (32 - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_pass() {
        for address in [
            "1.1.1.1",
            "104.16.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "2606:4700::1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert_eq!(AddressPolicy::Public.check(address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    #[test]
    fn private_and_special_addresses_do_not() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.2.1",
            "198.19.255.255",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:a00:1::",
            "3fff::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "::10.0.0.1",
            "4000::1",
        ] {
            let address = address.parse().unwrap();
            for policy in [AddressPolicy::Public, AddressPolicy::PublicOrLoopback] {
                assert_eq!(policy.check(address), Err(AddressError::NotPublic(address)), "{address}");
            }
        }
    }

    #[test]
    fn loopback_is_for_development_networks() {
        for address in ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"] {
            let address = address.parse().unwrap();
            assert_eq!(AddressPolicy::PublicOrLoopback.check(address), Ok(()));
            assert_eq!(AddressPolicy::Public.check(address), Err(AddressError::Loopback(address)));
        }
        let error = AddressPolicy::Public.check([127, 0, 0, 1].into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "127.0.0.1 is this machine: buckets on it are for development networks only"
        );
    }
}
