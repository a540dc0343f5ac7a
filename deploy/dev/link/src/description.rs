//! The description of a link on command lines: `110/500mbit,40ms,0.1%`.

use std::{fmt, str::FromStr, time::Duration};

/// The line of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Megabits per second from the node.
    pub up: u32,
    /// Megabits per second to the node.
    pub down: u32,
    /// The round-trip time in milliseconds: the time until an answer begins.
    pub latency: u32,
    /// The share of packets that are lost and sent again, in thousandths.
    pub loss: u32,
}

/// The reason why a text is not a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a line: write it like 110/500mbit,40ms,0.1%: rates up and down, round-trip time, loss")]
pub struct ParseLinkError(String);

impl Link {
    /// The line that the run files are made for.
    pub const USUAL: Self = Self { up: 110, down: 500, latency: 40, loss: 1 };

    /// Returns the rates up and down in bytes per second, without the bytes that are sent again.
    #[must_use]
    pub fn rates(&self) -> (u64, u64) {
        let bytes = |megabits: u32| u64::from(megabits) * 125 * u64::from(1000 - self.loss.min(999));
        (bytes(self.up), bytes(self.down))
    }

    /// Returns the round-trip time.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        Duration::from_millis(self.latency.into())
    }
}

impl FromStr for Link {
    type Err = ParseLinkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseLinkError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Link> {
    let mut parts = text.split(',');
    let (up, down) = parts.next()?.strip_suffix("mbit")?.split_once('/')?;
    let (up, down) = (up.parse().ok()?, down.parse().ok()?);
    let latency = parts.next().map_or(Some(0), |part| part.strip_suffix("ms")?.parse().ok())?;
    let percent = parts.next().map_or(Some("0"), |part| part.strip_suffix('%'))?;
    let (whole, tenths) = percent.split_once('.').unwrap_or((percent, "0"));
    let loss = whole.parse::<u32>().ok()?.checked_mul(10)?.checked_add(tenths.parse().ok()?)?;
    let fits = up > 0 && down > 0 && up <= 1_000_000 && down <= 1_000_000 && tenths.len() == 1;
    (fits && latency <= 60_000 && loss < 1000 && parts.next().is_none()).then_some(Link {
        up,
        down,
        latency,
        loss,
    })
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { up, down, latency, loss } = self;
        write!(f, "{up}/{down}mbit,{latency}ms,{}.{}%", loss / 10, loss % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_and_printed() {
        assert_eq!("110/500mbit,40ms,0.1%".parse(), Ok(Link::USUAL));
        assert_eq!(Link::USUAL.to_string(), "110/500mbit,40ms,0.1%");
        assert_eq!("1/2mbit".parse(), Ok(Link { up: 1, down: 2, latency: 0, loss: 0 }));
        for wrong in ["", "1mbit", "0/1mbit", "1/2mbit,4", "1/2mbit,4ms,100%", "1/2mbit,4ms,0.01%"] {
            assert!(wrong.parse::<Link>().is_err(), "{wrong}");
        }
        let (up, down) = Link::USUAL.rates();
        assert_eq!((up, down), (13_736_250, 62_437_500));
    }
}
