use super::*;
use base::{
    Height, Hotkey, NeuronId,
    digest::{Accumulator, ObjectHash, State},
};
use codec::aggregate::StepNorms;
use protocol::history::{History, WindowRecord};

const RUN: RunHash = RunHash([7; 32]);

/// Stands for the state root: what the parameters hash to is the layout's business.
fn root(values: &[f32]) -> StateRoot {
    StateRoot::of(&[cast_slice(values)])
}

/// Returns the parameters of a window, and the progress that belongs to them.
fn state(window: u64) -> (Progress, Vec<f32>) {
    let values: Vec<f32> = (0..5).map(|at| window as f32 + at as f32 / 3.0).collect();
    let voter = NeuronId { hotkey: Hotkey([1; 32]), registered: Height(3) };
    let records = (0..window.min(8)).map(|back| WindowRecord {
        window: Window(window - window.min(8) + back),
        state: State([back as u8; 32]),
        accepted: vec![protocol::acceptance::Accepted { id: voter, object: ObjectHash([window as u8; 32]) }],
        voters: vec![voter],
    });
    let before = if window <= 8 { History::new(&RUN).accumulator() } else { Accumulator([9; 32]) };
    let history = History::resume(before, Window(window.saturating_sub(8)), records).unwrap();
    let norms = (window > 0).then(|| StepNorms { medians: vec![0.5, 1.25], references: vec![0.5, 1.0] });
    (Progress { run: RUN, history, root: root(&values), norms }, values)
}

/// Returns the newest undamaged state, which a node would use.
fn taken(journal: &Journal) -> Option<(u64, Vec<f32>)> {
    journal.states(&RUN).unwrap().into_iter().find_map(|kept| {
        let window = kept.progress.window().0;
        let expected = kept.progress.clone();
        let mut values = vec![0.0; 5];
        let is_whole = kept.read(&mut values, root).unwrap_or(false);
        assert!(
            !is_whole || expected == state(window).0,
            "a progress that is read is the one that was written"
        );
        is_whole.then_some((window, values))
    })
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        files(folder).unwrap().into_iter().map(|(window, _)| window.0.to_string()).collect();
    names.sort();
    names
}

#[test]
fn the_last_two_states_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    assert_eq!(taken(&journal), None);
    for window in 0..12 {
        let (progress, values) = state(window);
        journal.keep(&progress, &values).unwrap();
        assert_eq!(taken(&journal), Some((window, values)));
        assert_eq!(names(folder.path()).len() as u64, (window + 1).min(2));
    }
    // Who resyncs to an earlier window does not come back to what was given up.
    let (progress, values) = state(7);
    journal.keep(&progress, &values).unwrap();
    assert_eq!((taken(&journal), names(folder.path())), (Some((7, values)), vec!["7".to_owned()]));
}

#[test]
fn diverged_states_are_set_aside_and_the_two_newest_folders_stay() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let aside = |window: u64, from: u64| {
        for window in [window - 1, window] {
            let (progress, values) = state(window);
            journal.keep(&progress, &values).unwrap();
        }
        journal.set_aside(Window(from), &state(window).0).unwrap().unwrap()
    };
    // Only the newer of two states is wrong.
    let first = aside(4, 4);
    assert_eq!(first, folder.path().join(format!("diverged-0000000004-{}", state(4).0.state())));
    assert_eq!((names(&first), taken(&journal)), (vec!["4".to_owned()], Some((3, state(3).1))));
    assert!(fs::read(first.join("state-0000000004")).unwrap().ends_with(cast_slice(&state(4).1)));
    let second = aside(6, 0);
    assert_eq!((names(&second), taken(&journal)), (vec!["5".to_owned(), "6".to_owned()], None));
    // The new folder stays, also if it is of an earlier window, and of the others the newest.
    let third = aside(3, 0);
    assert_eq!(journal.diverged().unwrap(), [third.clone(), second.clone()]);
    let again = aside(3, 0);
    assert_eq!((again, journal.diverged().unwrap()), (third.clone(), vec![third, second.clone()]));
    let fourth = aside(9, 0);
    assert_eq!(journal.diverged().unwrap(), [second, fourth]);
    assert_eq!(journal.set_aside(Window(0), &state(9).0).unwrap(), None, "there is nothing to move");
}

#[test]
fn a_file_that_is_cut_or_changed_anywhere_leaves_the_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    for window in [3, 4] {
        let (progress, values) = state(window);
        journal.keep(&progress, &values).unwrap();
    }
    let (older, newer) = (Some((3, state(3).1)), Some((4, state(4).1)));
    let path = folder.path().join("state-0000000004");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(taken(&journal), older, "cut after {length} bytes");
    }
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        assert_eq!(taken(&journal), older, "byte {place} changed");
    }
    fs::write(&path, [whole.as_slice(), &[0]].concat()).unwrap();
    assert_eq!(taken(&journal), older, "a byte too many");
    fs::write(&path, &whole).unwrap();
    assert_eq!(taken(&journal), newer);
    // The older one may be damaged as well, as long as the newer one is not. If both are, the network is
    // next.
    let other = folder.path().join("state-0000000003");
    let cut = fs::read(&other).unwrap();
    for length in [0, 8, 100, cut.len() - 1] {
        fs::write(&other, &cut[..length]).unwrap();
        assert_eq!(taken(&journal), newer);
    }
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(taken(&journal), None);
}

#[test]
fn a_kill_while_writing_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let (progress, values) = state(1);
    journal.keep(&progress, &values).unwrap();
    let whole = fs::read(folder.path().join("state-0000000001")).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len()] {
        // What a kill leaves: a file under another name, of any length.
        fs::write(folder.path().join("state-0000000002.partial"), &whole[..length]).unwrap();
        assert_eq!(taken(&journal), Some((1, values.clone())));
    }
    let (progress, values) = state(2);
    journal.keep(&progress, &values).unwrap();
    assert_eq!(taken(&journal), Some((2, values)));
}

#[test]
fn states_of_another_run_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let (progress, values) = state(1);
    journal.keep(&progress, &values).unwrap();
    assert_eq!(journal.states(&RunHash([8; 32])).unwrap().len(), 0);
    assert_eq!(journal.states(&RUN).unwrap().len(), 1);
}

#[test]
fn a_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let error = Journal::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("another process uses this folder; each node needs a node.folder of its own"),
        "{error}"
    );
    drop(journal);
    Journal::open(folder.path()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Journal::open(&file).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot read or write {}", file.display())), "{error}");
}

#[test]
fn a_full_disk_is_named_and_leaves_what_was_there() {
    // A write to `/dev/full` fails as on a full disk. A link leads the writes of `replace` there.
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let (progress, values) = state(1);
    journal.keep(&progress, &values).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("state-0000000002.partial")).unwrap();
    let (next, more) = state(2);
    let error = journal.keep(&next, &more).unwrap_err();
    let error = base::ErrorChain(&error).to_string();
    assert!(error.contains("state-0000000002.partial (make room on its disk, or name another"), "{error}");
    assert!(error.contains("folder as node.folder): No space left on device"), "{error}");
    assert_eq!(taken(&journal), Some((1, values)));
    journal.keep(&next, &more).unwrap();
}
