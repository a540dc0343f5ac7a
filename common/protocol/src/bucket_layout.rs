//! The keys and size limits of the objects in buckets.
//!
//! ```text
//! {run id}/submission/{window}/{object hash}   a submission, in the buckets of its miner and its keepers
//! {run id}/key/{window}/{object hash}          the key of a sealed submission, beside the submission
//! {run id}/scores/{window}                     a validator's score log
//! {run id}/record/{window}                     the decision on a window, stored by validators
//! {run id}/checkpoint/{window}/{file}          the files of a checkpoint
//! {run id}/checkpoint/latest                   the pointer to the newest checkpoint, written last
//! ```
//!
//! Windows have ten digits, so that lists are in the order of windows.

use crate::{checkpoint, history::MOST_RECORD_OBJECT_BYTES};
use base::{
    Window,
    digest::{ObjectHash, RunId},
};
use codec::submission::KEY_BYTES;
use scoring::score_log;

/// Most bytes of a score log.
pub const LARGEST_SCORE_LOG: u64 = score_log::MOST_BYTES as u64;
/// Bytes of the key of a sealed submission.
pub const LARGEST_SEAL_KEY: u64 = KEY_BYTES as u64;
/// Most bytes of the record of a window.
pub const LARGEST_RECORD: u64 = MOST_RECORD_OBJECT_BYTES as u64;
/// Most bytes of the pointer to a checkpoint.
pub const LARGEST_POINTER: u64 = checkpoint::POINTER_BYTES as u64;
/// Most bytes of a checkpoint's manifest. [`checkpoint::most_bytes`] limits all other files
/// together, and
/// [`submission::SubmissionLayout::most_bytes`](codec::submission::SubmissionLayout::most_bytes)
/// limits a submission.
pub const LARGEST_MANIFEST: u64 = checkpoint::MOST_MANIFEST_BYTES as u64;

/// Returns the key of a submission, in the buckets of its miner, custodians and keepers.
#[must_use]
pub fn submission(run: RunId, window: Window, object: &ObjectHash) -> String {
    format!("{}{object}", submissions_of(run, window))
}

/// Returns the prefix of the keys of a window's submissions.
#[must_use]
pub fn submissions_of(run: RunId, window: Window) -> String {
    format!("{}{window:010}/", submissions(run))
}

/// Returns the prefix of the keys of all submissions.
#[must_use]
pub fn submissions(run: RunId) -> String {
    format!("{run}/submission/")
}

/// Returns the bucket key of a sealed submission's key.
#[must_use]
pub fn seal_key(run: RunId, window: Window, object: &ObjectHash) -> String {
    format!("{}{window:010}/{object}", seal_keys(run))
}

/// Returns the bucket prefix of all seal keys.
#[must_use]
pub fn seal_keys(run: RunId) -> String {
    format!("{run}/key/")
}

/// Returns the key of a validator's score log.
#[must_use]
pub fn score_log(run: RunId, window: Window) -> String {
    format!("{run}/scores/{window:010}")
}

/// Returns the key of the [record](crate::history::WindowRecord) of a window.
#[must_use]
pub fn record(run: RunId, window: Window) -> String {
    format!("{run}/record/{window:010}")
}

/// Returns the key of a file of the checkpoint of the state at the start of a window.
#[must_use]
pub fn checkpoint(run: RunId, window: Window, file: &str) -> String {
    format!("{}{window:010}/{file}", checkpoints(run))
}

/// Returns the prefix of the keys of all checkpoints.
#[must_use]
pub fn checkpoints(run: RunId) -> String {
    format!("{run}/checkpoint/")
}

/// Returns the key of the [pointer](checkpoint::Pointer) to the newest checkpoint.
#[must_use]
pub fn checkpoint_pointer(run: RunId) -> String {
    format!("{}latest", checkpoints(run))
}

/// Returns the window that a key names, if the key begins with `prefix` and the window's ten digits.
#[must_use]
pub fn window(key: &str, prefix: &str) -> Option<Window> {
    let digits = key.strip_prefix(prefix)?.split('/').next()?;
    let is_canonical = digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let window = digits.parse().ok().filter(|_| is_canonical).map(Window)?;
    (format!("{window:010}") == digits).then_some(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId([0xab; 8]);

    #[test]
    fn keys_are_known() {
        let window = Window(7);
        let object = ObjectHash([1; 32]);
        let run = "abababababababab";
        let hash = "01".repeat(32);
        assert_eq!(submission(RUN, window, &object), format!("{run}/submission/0000000007/{hash}"));
        assert_eq!(seal_key(RUN, window, &object), format!("{run}/key/0000000007/{hash}"));
        assert_eq!(score_log(RUN, window), format!("{run}/scores/0000000007"));
        assert_eq!(record(RUN, window), format!("{run}/record/0000000007"));
        assert_eq!(
            checkpoint(RUN, window, "muster.json"),
            format!("{run}/checkpoint/0000000007/muster.json")
        );
        assert_eq!(checkpoint_pointer(RUN), format!("{run}/checkpoint/latest"));
    }

    #[test]
    fn windows_are_read_from_keys() {
        let prefix = submissions(RUN);
        for number in [0, 7, 9_999_999_999, 10_000_000_000, u64::MAX] {
            let key = submission(RUN, Window(number), &ObjectHash([1; 32]));
            assert_eq!(window(&key, &prefix), Some(Window(number)));
        }
        for key in
            ["", "7/x", "0000000007", "00000000007/x", "latest", "+000000007/x", "99999999999999999999/x"]
        {
            let read = window(&format!("{prefix}{key}"), &prefix);
            assert_eq!(read, (key == "0000000007").then_some(Window(7)), "{key}");
        }
        assert_eq!(window("other/0000000007/x", &prefix), None);
    }
}
