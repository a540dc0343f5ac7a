//! Runs the same work on several threads.

/// Calls `work` for all parts at once, each on its own thread.
pub(crate) fn for_parts<T: Send>(parts: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
    let work = &work;
    std::thread::scope(|scope| {
        let mut parts = parts.peekable();
        while let Some(part) = parts.next() {
            match parts.peek() {
                Some(_) => drop(scope.spawn(move || work(part))),
                None => work(part),
            }
        }
    });
}
