//! The assertion that the model learns.

use super::Assertion;
use crate::run_record::RunRecord;
use base::Window;

/// The number of windows that the bounds apply to.
const FULL: f64 = 8.0;
/// The maximum loss after [`FULL`] windows, as a share of the loss at the start.
const SHARE: f64 = 0.72;
/// The minimum number of windows in which the loss falls, of [`FULL`] windows.
const FALLS: f64 = 6.0;

/// Returns the maximum share of the starting loss at the end, and the minimum number of windows in
/// which the loss falls. For a shorter run the share is the one that a steady fall would have reached:
/// `SHARE^(windows / FULL)`. For a longer run it is [`SHARE`].
fn bounds(windows: u32) -> (f64, usize) {
    let fraction = (f64::from(windows) / FULL).min(1.0);
    let falls = (f64::from(windows) * FALLS / FULL).floor();
    (SHARE.powf(fraction), falls as usize)
}

/// Checks that the held-out loss ends low enough and falls often enough.
pub(super) fn loss(record: &RunRecord) -> Assertion {
    const NAME: &str = "loss";
    // A window that a fault of the network may cost is not held against the model.
    let windows = record.run().filter(|window| !record.is_struck(*window)).count() as u32;
    let (most, falls) = bounds(windows);
    let losses: Option<Vec<f64>> =
        (0..=record.after_last().0).map(|window| record.heldout(Window(window))).collect();
    let Some(losses) = losses else {
        let unknown = (0..=record.after_last().0).find(|window| record.heldout(Window(*window)).is_none());
        let complaint = match unknown {
            Some(window) if window == record.after_last().0 => {
                "no validator has reported the held-out loss at the run's end".to_owned()
            }
            window => {
                format!("no validator has reported the held-out loss at the start of window {window:?}")
            }
        };
        return Assertion::of(NAME, String::new(), &[complaint]);
    };
    let first = losses[0];
    let last = losses[losses.len() - 1];
    let fell = losses.windows(2).filter(|pair| pair[1] < pair[0]).count();
    let curve = losses.iter().map(|loss| format!("{loss:.2}")).collect::<Vec<_>>().join(" ");
    let share = last / first;
    let mut complaints = Vec::new();
    let is_low = share <= most; // NaN is not low.
    if !is_low {
        complaints.push(format!(
            "held-out loss ends at {:.1} % of its start, {:.1} % is allowed after {} windows: {curve}",
            100.0 * share,
            100.0 * most,
            windows
        ));
    }
    if fell < falls {
        complaints
            .push(format!("held-out loss falls in {fell} of {} windows, not in {falls}: {curve}", windows));
    }
    let good = format!(
        "held-out loss {curve}: {:.1} % of its start (at most {:.1} % after {} windows), lower after {fell} windows \
         (at least {falls})",
        100.0 * share,
        100.0 * most,
        windows
    );
    Assertion::of(NAME, good, &complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_eight_windows_and_scaled_for_fewer() {
        assert_eq!(bounds(8), (0.72, 6));
        assert_eq!(bounds(100), (0.72, 75));
        let (share, falls) = bounds(4);
        assert!((share - 0.8485).abs() < 1e-4 && falls == 3, "{share} {falls}");
        assert_eq!(bounds(1).1, 0);
        assert_eq!(bounds(2).1, 1);
    }
}
