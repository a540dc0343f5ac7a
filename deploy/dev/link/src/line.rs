//! One direction of a link: the times at which bytes leave it and arrive. It reads no clock.

use crate::Link;
use std::time::Duration;

/// The payload of a full TCP segment in a packet of 1500 bytes, with timestamps.
const SEGMENT: u64 = 1448;
/// The headers of IP and TCP in such a packet, in bytes. They count towards the rate of a link.
const HEADERS: u64 = 52;
/// The time by which the line may be behind its own schedule and still catch up. It is longer than timers
/// are late, so that they do not lower the rate.
const CATCH_UP: u64 = 10_000_000;
/// The time that a piece occupies the line at most, in nanoseconds.
const PIECE: u64 = 5_000_000;
/// The largest piece, in bytes.
const MOST_IN_PIECE: u64 = 64 << 10;
/// The shortest time after which TCP sends a lost packet again, without the round trip, in nanoseconds:
/// `TCP_RTO_MIN` of Linux.
const LEAST_TIMEOUT: u64 = 200_000_000;
/// The nanoseconds that a byte takes at one megabit per second.
const BYTE: u64 = 8000;

/// The times of a piece of a connection, since the start of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// The time at which its last byte has left the line's queue.
    pub(crate) sent: Duration,
    /// The time at which it arrives.
    pub(crate) arrives: Duration,
    /// The number of packets that were sent again.
    pub(crate) lost: u64,
}

/// One direction of a link. All connections of a node share it. Times are in nanoseconds since its start.
#[derive(Debug)]
pub(crate) struct Line {
    /// Megabits per second.
    rate: u64,
    round_trip: u64,
    /// The share of lost packets, in thousandths.
    loss: u64,
    /// The time at which all pieces so far have left the queue.
    free: u64,
    draws: blake3::OutputReader,
}

impl Line {
    /// Creates a line with this rate in megabits per second. `seed` draws the packets that are lost.
    pub(crate) fn new(rate: u32, link: &Link, seed: &[u8]) -> Self {
        let draws = blake3::Hasher::new_derive_key("muster devnet link").update(seed).finalize_xof();
        let round_trip = u64::try_from(link.round_trip().as_nanos()).unwrap_or(u64::MAX);
        Self { rate: rate.max(1).into(), round_trip, loss: link.loss.into(), free: 0, draws }
    }

    /// Returns the number of bytes in the pieces that a connection should be cut into. It is a multiple of
    /// whole packets.
    pub(crate) fn piece(&self) -> usize {
        let bytes = (PIECE * self.rate / BYTE).min(MOST_IN_PIECE);
        ((bytes / SEGMENT).max(1) * SEGMENT) as usize
    }

    /// Queues a piece now. Pieces leave one after the other, at the rate of the line.
    pub(crate) fn pass(&mut self, now: Duration, bytes: usize) -> Passage {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let (bytes, packets) = (bytes as u64, (bytes as u64).div_ceil(SEGMENT));
        let lost = (0..packets).filter(|_| self.is_lost()).count() as u64;
        let wire = bytes + packets * HEADERS + lost * (SEGMENT.min(bytes) + HEADERS);
        self.free = self.free.max(now.saturating_sub(CATCH_UP)).saturating_add(wire * BYTE / self.rate);
        let sent = self.free.max(now);
        let again = if lost > 0 { LEAST_TIMEOUT + self.round_trip } else { 0 };
        let arrives = sent.saturating_add(self.round_trip / 2 + again);
        Passage { sent: Duration::from_nanos(sent), arrives: Duration::from_nanos(arrives), lost }
    }

    fn is_lost(&mut self) -> bool {
        if self.loss == 0 {
            return false;
        }
        let mut bytes = [0; 8];
        self.draws.fill(&mut bytes);
        u64::from_le_bytes(bytes) % 1000 < self.loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rate: u32, text: &str) -> Line {
        Line::new(rate, &text.parse().unwrap(), b"a line")
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn pieces_leave_one_after_the_other_and_arrive_half_a_round_trip_later() {
        // A full packet of 1500 bytes takes 12 ms at 1 Mbit/s.
        let mut line = line(1, "1/1mbit,40ms");
        assert_eq!(line.piece(), 1448);
        let first = line.pass(ms(100), 1448);
        assert_eq!((first.sent, first.arrives, first.lost), (ms(102), ms(122), 0), "it caught up 10 ms");
        assert_eq!(line.pass(ms(100), 1448).sent, ms(114));
        assert_eq!(line.pass(ms(101), 1448).sent, ms(126));
        assert_eq!(line.pass(ms(500), 1448).sent, ms(502), "an idle line saves no more than 10 ms");
    }

    #[test]
    fn a_line_carries_no_more_payload_in_a_second_than_its_rate() {
        for (rate, now_step) in [(1, 0), (110, 0), (500, 3), (1000, 15)] {
            let mut line = line(rate, "1/1mbit,10ms");
            let (piece, mut now, mut sent) = (line.piece(), ms(0), Vec::new());
            while now < ms(3000) {
                // The caller asks for the next piece when the one before has left, or later.
                now = line.pass(now, piece).sent + ms(now_step);
                sent.push(now);
            }
            let most = sent.iter().map(|from| {
                let within = sent.iter().filter(|at| **at >= *from && **at < *from + ms(1000)).count();
                (within * piece) as u64
            });
            assert!(most.max().unwrap() <= u64::from(rate) * 125_000, "{rate}");
        }
    }

    #[test]
    fn late_timers_do_not_lower_the_rate() {
        let mut line = line(110, "1/1mbit");
        let (piece, mut now, mut bytes) = (line.piece(), ms(0), 0);
        while now < ms(2000) {
            now = line.pass(now, piece).sent + ms(2);
            bytes += piece as u64;
        }
        assert!(bytes > 2 * 110 * 125_000 * 95 / 100, "{bytes}");
    }

    #[test]
    fn lost_packets_are_sent_again_and_delay_their_piece() {
        let mut line = line(100, "1/1mbit,40ms,50.0%");
        let passages: Vec<Passage> = (0..1000).map(|_| line.pass(ms(0), 1448)).collect();
        let lost: Vec<&Passage> = passages.iter().filter(|passage| passage.lost > 0).collect();
        assert!((400..600).contains(&lost.len()), "{}", lost.len());
        assert!(lost.iter().all(|passage| passage.arrives == passage.sent + ms(260)));
        let wire = (1000 + lost.len() as u64) * 1500;
        assert_eq!(passages.last().unwrap().sent, Duration::from_nanos(wire * 80));
    }
}
