//! The same work on several threads.

/// Cuts values into as many parts as there are threads, in whole lines, and calls `work` for each part at once.
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

/// How many values a thread's part has: whole cache lines.
pub(crate) fn part(values: usize, threads: usize) -> usize {
    values.div_ceil(threads.max(1)).next_multiple_of(16).max(16)
}
