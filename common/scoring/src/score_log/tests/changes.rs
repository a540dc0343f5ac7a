//! Tests that each kind of change of a log is detected and named.

use super::*;

/// Header, lines and trailer of a log.
struct Parts {
    header: Vec<u8>,
    lines: Vec<Vec<u8>>,
    trailer: Vec<u8>,
}

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let (header, rest) = bytes.split_at(format::HEADER_BYTES);
        let (mut rest, trailer) = rest.split_at(rest.len() - lines::TRAILER_BYTES);
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(2 + usize::from(u16::from_le_bytes([rest[0], rest[1]])));
            lines.push(line.to_vec());
            rest = after;
        }
        Self { header: header.to_vec(), lines, trailer: trailer.to_vec() }
    }

    fn open(&self) -> Result<ScoreLog, ScoreLogError> {
        let bytes = [&self.header[..], &self.lines.concat(), &self.trailer].concat();
        ScoreLog::open(&bytes, &expected(4))
    }
}

/// Returns the error of a log whose parts are changed.
fn changed(change: impl FnOnce(&mut Parts)) -> ScoreLogError {
    let mut parts = Parts::of(&signed(&log()));
    change(&mut parts);
    parts.open().unwrap_err()
}

fn count() -> usize {
    Parts::of(&signed(&log())).lines.len()
}

#[test]
fn an_edited_line_is_named() {
    for line in 0..count() {
        for byte in [2, 10, 38, 40] {
            // The bytes: number, hash of the line before, kind, payload.
            let error = changed(|parts| parts.lines[line][byte] ^= 4);
            assert_eq!(error, ScoreLogError::Changed(ChainBreak::Edited(line as u32)), "byte {byte}");
        }
    }
}

#[test]
fn an_edited_header_is_told_from_an_edited_line() {
    let seed = 2 + 32 + 40 + 8 + 32;
    assert_eq!(changed(|parts| parts.header[seed] ^= 1), ScoreLogError::Changed(ChainBreak::Header));
    let error = changed(|parts| {
        parts.header[seed] ^= 1;
        parts.lines.clear();
        parts.trailer[..4].fill(0);
    });
    assert_eq!(error, ScoreLogError::Changed(ChainBreak::Header), "without any lines too");
}

#[test]
fn a_dropped_line_is_named() {
    for line in 0..count() {
        let error = changed(|parts| drop(parts.lines.remove(line)));
        assert_eq!(error, ScoreLogError::Changed(ChainBreak::Dropped(line as u32)));
    }
}

#[test]
fn a_reordered_line_is_named() {
    for line in 0..count() - 1 {
        let error = changed(|parts| parts.lines.swap(line, line + 1));
        let (line, found) = (line as u32, line as u32 + 1);
        assert_eq!(error, ScoreLogError::Changed(ChainBreak::Reordered { line, found }));
    }
}

#[test]
fn repeated_and_added_lines_and_a_wrong_count_are_named() {
    let last = count() as u32 - 1;
    let error = changed(|parts| parts.lines.insert(3, parts.lines[1].clone()));
    assert_eq!(error, ScoreLogError::Changed(ChainBreak::Repeated(1)));
    let error = changed(|parts| {
        let mut body = (last + 1).to_le_bytes().to_vec();
        body.extend(ScoreLogHead::of(&[&parts.lines[last as usize][2..]]).0);
        body.extend([7, 0, 0, 0, 0]);
        parts.lines.push([&(body.len() as u16).to_le_bytes()[..], &body].concat());
    });
    assert_eq!(error, ScoreLogError::Changed(ChainBreak::Added(last + 1)));
    let error = changed(|parts| parts.trailer[0] += 1);
    assert_eq!(error, ScoreLogError::Changed(ChainBreak::Count { said: last + 2, found: last + 1 }));
}

#[test]
fn a_log_made_anew_with_another_line_has_a_wrong_signature() {
    let bytes = signed(&log());
    let signature = &bytes[bytes.len() - SIGNATURE_BYTES..];
    let mut forged = log();
    forged.miners.insert(miner(1), line(1, evaluated(1.0, 1.0)).1);
    let (mut writer, head, count) = forged.framed();
    writer.u32(count).raw(&head.0).raw(signature);
    let error = ScoreLog::open(&writer.into_bytes(), &expected(4)).unwrap_err();
    assert_eq!(error, ScoreLogError::Signature(SignatureError::Wrong(validator().hotkey)));
    let error = base::ErrorChain(&error).to_string();
    assert!(error.starts_with("the score log is not signed by its validator: the signature is"));
}

#[test]
fn another_run_window_or_validator_is_said() {
    let bytes = signed(&log());
    let open = |change: fn(&mut Expected)| {
        let mut expected = expected(4);
        change(&mut expected);
        ScoreLog::open(&bytes, &expected).unwrap_err()
    };
    let error = open(|expected| expected.run = RunHash([7; 32]));
    assert_eq!(error, ScoreLogError::WrongRun { expected: RunHash([7; 32]), found: RunHash([0xa1; 32]) });
    let error = open(|expected| expected.window = Window(5));
    assert_eq!(error.to_string(), "the score log is of window 4, not of window 5");
    let error = open(|expected| expected.validator.hotkey = Hotkey([9; 32]));
    assert!(matches!(error, ScoreLogError::WrongHotkey { found, .. } if found == validator().hotkey));
    let error = open(|expected| expected.validator.registered = Height(78));
    assert_eq!(error.to_string(), "the score log is of a validator registered in block 77, not in block 78");
}

#[test]
fn another_kind_and_a_later_version_are_said() {
    assert_eq!(changed(|parts| parts.header[0] = 1).to_string(), "an object of kind 0x01 is no score log");
    let error = changed(|parts| parts.header[1] = 4).to_string();
    assert_eq!(error, "the score log has version 4, this program reads version 3: update it");
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let bytes = signed(&log());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(ScoreLog::open(&flipped, &expected(4)).is_err(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(ScoreLog::open(&bytes[..cut], &expected(4)).is_err(), "cut to {cut}");
    }
    assert!(ScoreLog::open(&[&bytes[..], &[0]].concat(), &expected(4)).is_err());
}

/// Returns the error of a log with invalid lines that the validator itself has signed.
fn nonsense(write: impl FnOnce(&mut lines::LineWriter)) -> ScoreLogError {
    let header = Parts::of(&signed(&log())).header;
    let mut lines = lines::LineWriter::new(&header);
    write(&mut lines);
    let (mut writer, head, count) = lines.finish();
    writer.u32(count).raw(&head.0).raw(&key(1).sign(SIGNATURE_CONTEXT, &head.0).0);
    ScoreLog::open(&writer.into_bytes(), &expected(4)).unwrap_err()
}

/// Writes a score line without its score.
fn without_value(to: &mut base::wire::Writer) {
    to.raw(miner(1).as_bytes());
}

/// Returns the payload of a window of the field.
fn field_window(place: u8) -> impl FnOnce(&mut base::wire::Writer) {
    move |to| {
        to.u8(place).u64(1).u64(0);
    }
}

#[test]
fn lines_that_no_log_has_are_refused_though_signed() {
    let weight = |lines: &mut lines::LineWriter, uid: u16| {
        lines.push(7, |to| {
            to.u16(uid).u16(1);
        });
    };
    let error = nonsense(|lines| lines.push(9, |_| ()));
    assert_eq!(error.to_string(), "line 0 of the score log is of kind 9: kinds go from 1 to 7");
    let falls = nonsense(|lines| [3, 2].into_iter().for_each(|uid| weight(lines, uid)));
    let twice = nonsense(|lines| [3, 3].into_iter().for_each(|uid| weight(lines, uid)));
    assert_eq!((&falls, &twice), (&ScoreLogError::Order { line: 1 }, &ScoreLogError::Order { line: 1 }));
    let kinds_fall = nonsense(|lines| {
        weight(lines, 3);
        lines.push(6, without_value);
    });
    assert_eq!(kinds_fall, ScoreLogError::Order { line: 1 });
    let longer = nonsense(|lines| {
        lines.push(7, |to| {
            to.u16(1).u16(1).u8(0);
        });
    });
    let text = "line 0 of the score log is malformed: 1 bytes follow the end of a line at offset 4";
    assert_eq!(base::ErrorChain(&longer).to_string(), text);
    let shorter = nonsense(|lines| lines.push(6, without_value));
    assert!(matches!(shorter, ScoreLogError::Line { line: 0, error: WireError::Truncated { .. } }));
    let outcome = nonsense(|lines| {
        lines.push(3, |to| {
            to.raw(miner(1).as_bytes()).u16(1).u64(7).raw(&[0; 32]).u8(7);
        });
    });
    let text = "line 0 of the score log is malformed: the outcome of a miner at offset 74 is 7: \
                0 is evaluated, 1 failed, 2 cut, 3 gone";
    assert_eq!(base::ErrorChain(&outcome).to_string(), text);
    let gap = nonsense(|lines| {
        for place in [0, 2] {
            lines.push(4, field_window(place));
        }
    });
    assert_eq!(gap, ScoreLogError::Order { line: 1 });
    let many = nonsense(|lines| {
        for place in 0..21 {
            lines.push(4, field_window(place));
        }
    });
    assert_eq!(many, ScoreLogError::Order { line: 20 });
}
