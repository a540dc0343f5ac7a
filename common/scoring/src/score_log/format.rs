//! Encodes and decodes the header and the lines of a score log.

use super::{Adopted, Header, KIND, MinerLine, ScoreLog, ScoreLogError, Stated, VERSION, lines};
use crate::{
    gauntlet::{
        Evaluation, FIELD_WINDOWS, Fault, Field, FieldWindow, Improvements, Outcome, Standing, Standings,
    },
    pay::Score,
    uniqueness::{Baseline, Overlap},
    weights::Subnet,
};
use base::{
    BlockHash, Height, Hotkey, Millionths, NeuronId, Uid, Window,
    digest::{ObjectHash, RunHash, ScoreLogHead, StandingsHash, State},
    wire::{Reader, WireError, Writer},
};
use std::collections::BTreeMap;

/// Number of bytes of a header.
pub(super) const HEADER_BYTES: usize =
    2 + 32 + NeuronId::BYTES + 8 + 4 * 32 + (32 + 8 + 32) + 8 + 4 * 8 + 3 + 3 * 2;

/// The kinds of lines, in their order in a log.
mod kind {
    pub(super) const SNAPSHOT_FIELD: u8 = 1;
    pub(super) const SNAPSHOT: u8 = 2;
    pub(super) const MINER: u8 = 3;
    pub(super) const FIELD: u8 = 4;
    pub(super) const STANDING: u8 = 5;
    pub(super) const SCORE: u8 = 6;
    pub(super) const WEIGHT: u8 = 7;
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
        if let Some(snapshot) = &self.snapshot {
            push_standings(&mut lines, [kind::SNAPSHOT_FIELD, kind::SNAPSHOT], snapshot);
        }
        for (miner, line) in &self.miners {
            lines.push(kind::MINER, |to| write_miner(miner, line, to));
        }
        push_standings(&mut lines, [kind::FIELD, kind::STANDING], &self.stated.standings);
        for (miner, score) in &self.stated.scores {
            lines.push(kind::SCORE, |to| {
                to.raw(miner.as_bytes()).u64(score.0);
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
        let snapshot = read_standings(&mut rest, [kind::SNAPSHOT_FIELD, kind::SNAPSHOT])?;
        let has_snapshot = rest.len() < lines.len();
        let miners = section(&mut rest, kind::MINER, read_miner)?;
        let standings = read_standings(&mut rest, [kind::FIELD, kind::STANDING])?;
        let scores =
            section(&mut rest, kind::SCORE, |from| Ok((read_hotkey(from)?, Score(from.u64("a score")?))))?;
        let weights =
            section(&mut rest, kind::WEIGHT, |from| Ok((Uid(from.u16("a uid")?), from.u16("a weight")?)))?;
        if let Some(line) = rest.first() {
            let (line, kind) = (line.index, line.kind);
            let known = (kind::SNAPSHOT_FIELD..=kind::WEIGHT).contains(&kind);
            return Err(if known {
                ScoreLogError::Order { line }
            } else {
                ScoreLogError::LineKind { line, kind }
            });
        }
        if !with_snapshot && has_snapshot {
            return Err(ScoreLogError::Order { line: 0 });
        }
        let snapshot = with_snapshot.then_some(snapshot);
        let stated = Stated { standings, scores, weights };
        Ok(Self { header, snapshot, miners, stated })
    }
}

/// Writes the lines of standings: the field's windows, then the miners.
fn push_standings(lines: &mut lines::LineWriter, [field, miners]: [u8; 2], standings: &Standings) {
    for (index, window) in standings.field().windows().iter().enumerate() {
        lines.push(field, |to| window.write(to.u8(index as u8)));
    }
    for (miner, standing) in standings.iter() {
        lines.push(miners, |to| standing.write(to.raw(miner.as_bytes())));
    }
}

/// Removes the lines of standings from the front of `lines`, and decodes them.
fn read_standings(
    lines: &mut &[lines::Line<'_>],
    [field, miners]: [u8; 2],
) -> Result<Standings, ScoreLogError> {
    let first = lines.first().map_or(0, |line| line.index);
    let windows =
        section(lines, field, |from| Ok((from.u8("a place in the field")?, FieldWindow::read(from)?)))?;
    // The windows of the field are counted from 0, without gaps.
    if let Some(place) = windows.keys().enumerate().position(|(place, &key)| place != usize::from(key)) {
        return Err(ScoreLogError::Order { line: first + place as u32 });
    }
    if windows.len() > FIELD_WINDOWS {
        return Err(ScoreLogError::Order { line: first + FIELD_WINDOWS as u32 });
    }
    let miners = section(lines, miners, |from| Ok((read_hotkey(from)?, Standing::read(from)?)))?;
    Ok(Standings::new(Field::new(windows.into_values().collect()), miners))
}

fn read_hotkey(from: &mut Reader<'_>) -> Result<Hotkey, WireError> {
    Ok(Hotkey(from.array("the hotkey of a line")?))
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
    let adopted = header.adopted.unwrap_or(Adopted::NONE);
    to.raw(&header.standings.0);
    to.raw(adopted.validator.as_bytes()).u64(adopted.window.0).raw(&adopted.head.0);
    to.f64(header.unassigned_before);
    header.baselines.iter().for_each(|baseline| baseline.write(to));
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
    let adopted = read_adopted(&mut from, previous)?;
    let unassigned_before = from.f64("the loss on unassigned data")?;
    let mut baselines = [Baseline::default(); 4];
    for baseline in &mut baselines {
        *baseline = Baseline::read(&mut from)?;
    }
    let (with_snapshot, subnet) = read_subnet(&mut from)?;
    let header = Header {
        run,
        validator,
        window,
        state,
        seed,
        previous,
        standings,
        adopted,
        unassigned_before,
        baselines,
        subnet,
    };
    Ok((header, with_snapshot))
}

impl Adopted {
    /// The value in the bytes of a log that adopts no standings.
    const NONE: Self = Self { validator: Hotkey([0; 32]), window: Window(0), head: ScoreLogHead([0; 32]) };
}

/// Reads the log whose standings were adopted. Only the first log of a validator may adopt any.
fn read_adopted(from: &mut Reader<'_>, previous: ScoreLogHead) -> Result<Option<Adopted>, WireError> {
    let (what, offset) = ("the adopted log", from.offset());
    let validator = Hotkey(from.array(what)?);
    let window = Window(from.u64(what)?);
    let adopted = Adopted { validator, window, head: ScoreLogHead(from.array(what)?) };
    if adopted == Adopted::NONE {
        return Ok(None);
    }
    if previous != ScoreLogHead::default() {
        let expected = "only the first log of a validator adopts standings";
        return Err(WireError::Value { what, offset, found: 1, expected });
    }
    Ok(Some(adopted))
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

fn write_miner(miner: &Hotkey, line: &MinerLine, to: &mut Writer) {
    to.raw(miner.as_bytes()).u16(line.uid.0).u64(line.registered.0).raw(&line.object.0);
    match line.outcome {
        Outcome::Evaluated(evaluation) => write_evaluation(&evaluation, to.u8(outcome::EVALUATED)),
        Outcome::Failed(fault) => fault.write(to.u8(outcome::FAILED)),
        Outcome::Skipped => drop(to.u8(outcome::CUT)),
        Outcome::Gone => drop(to.u8(outcome::GONE)),
    }
}

fn write_evaluation(evaluation: &Evaluation, to: &mut Writer) {
    for batch in [evaluation.assigned, evaluation.common, evaluation.own] {
        to.u32(batch.count).f64(batch.sum).f64(batch.squares);
    }
    to.u32(evaluation.share.0 as u32);
    evaluation.overlap.write(to);
}

fn read_miner(from: &mut Reader<'_>) -> Result<(Hotkey, MinerLine), WireError> {
    let miner = read_hotkey(from)?;
    let uid = Uid(from.u16("the miner's uid")?);
    let registered = Height(from.u64("the miner's registration")?);
    let object = ObjectHash(from.array("the claimed object")?);
    let what = "the outcome of a miner";
    let offset = from.offset();
    let outcome = match from.u8(what)? {
        outcome::EVALUATED => Outcome::Evaluated(read_evaluation(from)?),
        outcome::FAILED => Outcome::Failed(Fault::read(from)?),
        outcome::CUT => Outcome::Skipped,
        outcome::GONE => Outcome::Gone,
        other => {
            let expected = "0 is evaluated, 1 failed, 2 cut, 3 gone";
            return Err(WireError::Value { what, offset, found: other.into(), expected });
        }
    };
    Ok((miner, MinerLine { uid, registered, object, outcome }))
}

fn read_evaluation(from: &mut Reader<'_>) -> Result<Evaluation, WireError> {
    let mut batch = || -> Result<Improvements, WireError> {
        Ok(Improvements {
            count: from.u32("the number of sequences")?,
            sum: from.f64("the sum of improvements")?,
            squares: from.f64("the sum of squared improvements")?,
        })
    };
    let (assigned, common, own) = (batch()?, batch()?, batch()?);
    let (what, offset) = ("the share of samples", from.offset());
    let share = from.u32(what)?;
    if i64::from(share) > Millionths::ONE.0 {
        let expected = "a share is at most 1000000";
        return Err(WireError::Value { what, offset, found: share.into(), expected });
    }
    let share = Millionths(share.into());
    Ok(Evaluation { assigned, common, own, share, overlap: Overlap::read(from)? })
}
