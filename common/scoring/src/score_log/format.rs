//! Encodes and decodes the header and the lines of a score log.

use super::{Header, KIND, MinerLine, ScoreLog, ScoreLogError, Stated, VERSION, lines};
use crate::{
    gauntlet::{Evaluation, Fault, Losses, Outcome, Score, Standing},
    weights::Subnet,
};
use base::{
    BlockHash, NeuronId, Uid, Window,
    digest::{ObjectHash, RunHash, ScoreLogHead, StandingsHash, State},
    wire::{Reader, WireError, Writer},
};
use std::collections::BTreeMap;

/// Number of bytes of a header.
pub(super) const HEADER_BYTES: usize = 2 + 32 + NeuronId::BYTES + 8 + 4 * 32 + 8 + 3 + 3 * 2;

/// The kinds of lines, in their order in a log.
mod kind {
    pub(super) const SNAPSHOT: u8 = 1;
    pub(super) const MINER: u8 = 2;
    pub(super) const STANDING: u8 = 3;
    pub(super) const SCORE: u8 = 4;
    pub(super) const WEIGHT: u8 = 5;
}

/// The numbers of outcomes.
mod outcome {
    pub(super) const EVALUATED: u8 = 0;
    pub(super) const FAILED: u8 = 1;
    pub(super) const CUT: u8 = 2;
    pub(super) const GONE: u8 = 3;
}

/// A flag of the header: the log has a snapshot, which may be empty.
const WITH_SNAPSHOT: u8 = 1;

impl ScoreLog {
    /// Encodes header and lines. Returns them with the head and the number of lines.
    pub(super) fn framed(&self) -> (Writer, ScoreLogHead, u32) {
        let mut header = Writer::new();
        write_header(&self.header, self.snapshot.is_some(), &mut header);
        let mut lines = lines::LineWriter::new(&header.into_bytes());
        for (miner, standing) in self.snapshot.iter().flat_map(|standings| standings.iter()) {
            lines.push(kind::SNAPSHOT, |to| write_standing(miner, standing, to));
        }
        for (miner, line) in &self.miners {
            lines.push(kind::MINER, |to| write_miner(miner, line, to));
        }
        for (miner, standing) in self.stated.standings.iter() {
            lines.push(kind::STANDING, |to| write_standing(miner, standing, to));
        }
        for (miner, score) in &self.stated.scores {
            lines.push(kind::SCORE, |to| {
                miner.write(to);
                to.u64(score.0);
            });
        }
        for (uid, weight) in &self.stated.weights {
            lines.push(kind::WEIGHT, |to| {
                to.u16(uid.0).u16(*weight);
            });
        }
        lines.finish()
    }

    /// Creates a log from its lines, which must be in the order of kinds and keys.
    pub(super) fn from_lines(
        (header, with_snapshot): (Header, bool),
        lines: &[lines::Line<'_>],
    ) -> Result<Self, ScoreLogError> {
        let mut rest = lines;
        let snapshot = section(&mut rest, kind::SNAPSHOT, read_standing)?;
        let miners = section(&mut rest, kind::MINER, read_miner)?;
        let standings = section(&mut rest, kind::STANDING, read_standing)?;
        let scores =
            section(&mut rest, kind::SCORE, |from| Ok((NeuronId::read(from)?, Score(from.u64("a score")?))))?;
        let weights =
            section(&mut rest, kind::WEIGHT, |from| Ok((Uid(from.u16("a uid")?), from.u16("a weight")?)))?;
        if let Some(line) = rest.first() {
            let (line, kind) = (line.index, line.kind);
            let known = (kind::SNAPSHOT..=kind::WEIGHT).contains(&kind);
            return Err(if known {
                ScoreLogError::Order { line }
            } else {
                ScoreLogError::LineKind { line, kind }
            });
        }
        if !with_snapshot && !snapshot.is_empty() {
            return Err(ScoreLogError::Order { line: 0 });
        }
        let snapshot = with_snapshot.then(|| snapshot.into_iter().collect());
        let stated = Stated { standings: standings.into_iter().collect(), scores, weights };
        Ok(Self { header, snapshot, miners, stated })
    }
}

/// Removes the lines of one kind from the front of `lines`, and decodes them. Their keys must rise.
fn section<K: Ord + Copy, V>(
    lines: &mut &[lines::Line<'_>],
    kind: u8,
    read: impl Fn(&mut Reader<'_>) -> Result<(K, V), WireError>,
) -> Result<BTreeMap<K, V>, ScoreLogError> {
    let length = lines.iter().take_while(|line| line.kind == kind).count();
    let (ours, rest) = lines.split_at(length);
    *lines = rest;
    let mut map = BTreeMap::new();
    for line in ours {
        let mut reader = Reader::new(line.payload);
        let value = read(&mut reader).and_then(|value| reader.finish("a line").map(|()| value));
        let (key, value) = value.map_err(|error| ScoreLogError::Line { line: line.index, error })?;
        if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(ScoreLogError::Order { line: line.index });
        }
        map.insert(key, value);
    }
    Ok(map)
}

fn write_header(header: &Header, with_snapshot: bool, to: &mut Writer) {
    to.u8(KIND).u8(VERSION).raw(&header.run.0);
    header.validator.write(to);
    to.u64(header.window.0).raw(&header.state.0).raw(&header.seed.0).raw(&header.previous.0);
    to.raw(&header.standings.0).f64(header.unassigned_before);
    let subnet = &header.subnet;
    let flags = u8::from(with_snapshot) * WITH_SNAPSHOT + u8::from(subnet.owner.is_some()) * WITH_OWNER;
    to.u8(flags).u16(subnet.owner.unwrap_or_default().0);
    to.u16(subnet.uids).u16(subnet.min_allowed).u16(subnet.max_limit);
}

/// A flag of the header: the subnet's owner has a uid.
const WITH_OWNER: u8 = 2;

/// Decodes the header. Returns it, and whether a snapshot follows.
pub(super) fn read_header(bytes: &[u8]) -> Result<(Header, bool), ScoreLogError> {
    let mut from = Reader::new(bytes);
    match from.u8("the kind of object")? {
        KIND => {}
        other => return Err(ScoreLogError::Kind(other)),
    }
    match from.u8("the version of the score log")? {
        VERSION => {}
        other => return Err(ScoreLogError::Version(other)),
    }
    let run = RunHash(from.array("the run hash")?);
    let validator = NeuronId::read(&mut from)?;
    let window = Window(from.u64("the window")?);
    let state = State(from.array("the state")?);
    let seed = BlockHash(from.array("the seed")?);
    let previous = ScoreLogHead(from.array("the head of the log before")?);
    let standings = StandingsHash(from.array("the hash of the standings")?);
    let unassigned_before = from.f64("the loss on unassigned data")?;
    let (with_snapshot, subnet) = read_subnet(&mut from)?;
    Ok((
        Header { run, validator, window, state, seed, previous, standings, unassigned_before, subnet },
        with_snapshot,
    ))
}

fn read_subnet(from: &mut Reader<'_>) -> Result<(bool, Subnet), WireError> {
    let what = "the flags of a score log";
    let offset = from.offset();
    let (flags, owner) = (from.u8(what)?, from.u16("the owner's uid")?);
    if flags > (WITH_SNAPSHOT | WITH_OWNER) || (flags & WITH_OWNER == 0 && owner != 0) {
        let expected = "1 is a snapshot, 2 the owner's uid, which is 0 without it";
        return Err(WireError::Value { what, offset, found: flags.into(), expected });
    }
    let subnet = Subnet {
        owner: (flags & WITH_OWNER != 0).then_some(Uid(owner)),
        uids: from.u16("the count of uids")?,
        min_allowed: from.u16("MinAllowedWeights")?,
        max_limit: from.u16("MaxWeightsLimit")?,
    };
    Ok((flags & WITH_SNAPSHOT != 0, subnet))
}

fn write_standing(miner: &NeuronId, standing: &Standing, to: &mut Writer) {
    miner.write(to);
    standing.write(to);
}

fn read_standing(from: &mut Reader<'_>) -> Result<(NeuronId, Standing), WireError> {
    Ok((NeuronId::read(from)?, Standing::read(from)?))
}

fn write_miner(miner: &NeuronId, line: &MinerLine, to: &mut Writer) {
    miner.write(to);
    to.u16(line.uid.0).raw(&line.object.0);
    match line.outcome {
        Outcome::Evaluated(evaluation) => {
            let Losses { before, after } = evaluation.assigned;
            to.u8(outcome::EVALUATED).f64(before).f64(after).f64(evaluation.unassigned_after);
        }
        Outcome::Failed(fault) => fault.write(to.u8(outcome::FAILED)),
        Outcome::Skipped => drop(to.u8(outcome::CUT)),
        Outcome::Gone => drop(to.u8(outcome::GONE)),
    }
}

fn read_miner(from: &mut Reader<'_>) -> Result<(NeuronId, MinerLine), WireError> {
    let miner = NeuronId::read(from)?;
    let uid = Uid(from.u16("the miner's uid")?);
    let object = ObjectHash(from.array("the claimed object")?);
    let what = "the outcome of a miner";
    let offset = from.offset();
    let outcome = match from.u8(what)? {
        outcome::EVALUATED => Outcome::Evaluated(Evaluation {
            assigned: Losses {
                before: from.f64("the loss on assigned data before")?,
                after: from.f64("the loss on assigned data after")?,
            },
            unassigned_after: from.f64("the loss on unassigned data after")?,
        }),
        outcome::FAILED => Outcome::Failed(Fault::read(from)?),
        outcome::CUT => Outcome::Skipped,
        outcome::GONE => Outcome::Gone,
        other => {
            let expected = "0 is evaluated, 1 failed, 2 cut, 3 gone";
            return Err(WireError::Value { what, offset, found: other.into(), expected });
        }
    };
    Ok((miner, MinerLine { uid, object, outcome }))
}
