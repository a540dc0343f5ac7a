//! Runs work on several threads. The results do not depend on the number of threads.

use std::sync::{Mutex, PoisonError};

/// Calls `work` for each item, on `threads` threads, each with its own state. Any thread may take
/// any item, so the output of `work` must depend on the item alone.
pub(crate) fn for_each<T: Send, S>(
    items: impl ExactSizeIterator<Item = T> + Send,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) + Sync,
) {
    let threads = threads.min(items.len());
    let items = Mutex::new(items);
    let take = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        let mut state = state();
        while let Some(item) = take() {
            work(&mut state, item);
        }
    };
    // A thread that panics ends the scope with its panic.
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(run)));
        run();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once() {
        for threads in [0, 1, 2, 5] {
            let mut numbers: Vec<usize> = (0..100).collect();
            for_each(numbers.iter_mut(), threads, || 1, |one, number| *number += *one);
            assert!(numbers.into_iter().eq(1..101), "{threads} threads");
        }
        for_each(std::iter::empty::<()>(), 3, || (), |(), ()| unreachable!("there is no item"));
    }
}
