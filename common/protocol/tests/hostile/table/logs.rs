//! Score logs and records of windows: the objects that validators publish.

use super::{Rows, Table, says};
use crate::objects::*;
use base::Hotkey;
use protocol::history::WindowRecord;
use scoring::{
    gauntlet::{Field, Standing, Standings},
    score_log::{MOST_LINES, Replay, ScoreLog},
};

pub(super) fn log() -> Table {
    let opens = |(bytes, repair): (Vec<u8>, bool)| {
        let bytes = if repair { chained(&bytes) } else { bytes };
        says(ScoreLog::open(&bytes, &expected_log()))
    };
    let whole = score_log().sign(&SENDER).unwrap();
    let mut raw = Rows::of((whole, false), &opens);
    raw.row("no bytes", |v| v.0.clear())
        .row("a header and no trailer", |v| v.0.truncate(LOG_HEADER))
        .row("one byte more than the longest log", |v| v.0.resize(scoring::score_log::MOST_BYTES + 1, 0))
        .row("an edited header", |v| v.0[90] ^= 1)
        .row("an edited line", |v| v.0[LOG_HEADER + 60] ^= 1)
        .row("a dropped line", |v| {
            let length = 2 + usize::from(u16::from_le_bytes([v.0[LOG_HEADER], v.0[LOG_HEADER + 1]]));
            v.0.drain(LOG_HEADER..LOG_HEADER + length);
        })
        .row("a wrong count of lines", |v| {
            let count = v.0.len() - LOG_TRAILER;
            v.0[count] += 1;
        })
        .row("a signature of something else", |v| *v.0.last_mut().unwrap() ^= 1);
    let mut rows = Rows::of((unsigned_log(), true), &opens);
    let line = LOG_HEADER;
    let kind = LOG_HEADER + 2 + 36;
    let payload = LOG_HEADER + 2 + 37;
    let weight = [&[41, 0][..], &[0; 36], &[7], &[0; 4]].concat();
    rows.row("another kind of object", |v| v.0[0] = 0xe4)
        .row("a later version", |v| v.0[1] = 4)
        .row("another run", |v| v.0[2] ^= 1)
        .row("another registration of the validator", |v| v.0[66] ^= 1)
        .row("another window", |v| v.0[74] ^= 1)
        .row("adopted standings in a later log", |v| (v.0[146], v.0[210]) = (1, 1))
        .row("unknown flags", |v| v.0[322] = 4)
        .row("an owner's uid without its flag", |v| (v.0[322], v.0[323]) = (1, 1))
        .row("a line that is too short", |v| v.0[line] = 36)
        .row("a line of 65,535 bytes", |v| v.0[line..line + 2].fill(0xff))
        .row("a line that is cut off", |v| v.0.pop())
        .row("a line of an unknown kind", |v| v.0[kind] = 8)
        .row("a weight before all miners", |v| drop(v.0.splice(line..line, weight)))
        .row("one miner twice", |v| {
            let length = 2 + usize::from(v.0[line]);
            let first = v.0[line..line + length].to_vec();
            v.0.splice(line..line, first);
        })
        .row("an unknown outcome", |v| v.0[payload + 32 + 2 + 8 + 32] = 9)
        .row("24,617 lines", |v| {
            v.0.truncate(line);
            (0..=MOST_LINES).for_each(|_| {
                v.0.extend([37, 0]);
                v.0.extend([0; 37]);
            });
        });
    raw.rows.append(&mut rows.rows);
    raw.done("Score log: `ScoreLogError` of `ScoreLog::open`")
}

pub(super) fn replay() -> Table {
    let replays = |log: ScoreLog| says(Replay::new(scoring()).next(&log));
    let mut rows = Rows::of(score_log(), &replays);
    rows.row("a missing snapshot", |log| log.snapshot = None)
        .row("a first log with standings of no other log", |log| {
            let standing = (Hotkey([1; 32]), Standing::default());
            log.snapshot = Some(Standings::new(Field::default(), [standing].into()));
        })
        .row("other standings at its beginning", |log| log.header.standings.0[0] = 1)
        .row("one uid for two miners", |log| log.miners.values_mut().for_each(|line| line.uid.0 = 1))
        .row("another weight than replayed", |log| *log.stated.weights.values_mut().next().unwrap() -= 1)
        .row("a missing score", |log| log.stated.scores.pop_first());
    rows.done("Score log, replayed: `ReplayError` of `Replay::next`")
}

pub(super) fn window_record() -> Table {
    let reads = |bytes: Vec<u8>| says(WindowRecord::open(&bytes, &RUN, WINDOW));
    let (window, accepted) = (2 + 32, 2 + 32 + 8 + 32);
    let voters = accepted + 2 + 40 + 32;
    let mut rows = Rows::of(record(WINDOW).to_bytes(&RUN), &reads);
    rows.row("no bytes", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe8)
        .row("a later version", |b| b[1] = 3)
        .row("another run", |b| b[2] ^= 1)
        .row("another window", |b| b[window] = 6)
        .row("65 accepted", |b| b[accepted] = 65)
        .row("a count of one accepted too many", |b| b[accepted] = 2)
        .row("65,535 voters", |b| b[voters..voters + 2].fill(0xff))
        .row("one voter twice", |b| b.copy_within(voters + 2..voters + 42, voters + 42))
        .row("cut off", |b| b.pop())
        .row("a trailing byte", |b| b.push(0));
    rows.done("Record of a window: `RecordError` of `WindowRecord::open`")
}
