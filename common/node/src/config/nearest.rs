//! Finds the known name that a mistyped one is most similar to.

/// Returns the known name that is most similar to `name`, if one is similar enough.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known: &&str| distance(name, known) <= known.len() / 3;
    known.into_iter().filter(near).min_by_key(|known| distance(name, known))
}

/// Returns the least number of letters to insert, delete or replace to turn one text into the other
/// (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.chars().enumerate() {
        let mut next = vec![row + 1];
        for (column, to) in b.iter().enumerate() {
            let replaced = last[column] + usize::from(from != *to);
            next.push(replaced.min(last[column + 1] + 1).min(next[column] + 1));
        }
        last = next;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_understood() {
        assert_eq!([distance("", "abc"), distance("abc", "abc"), distance("kitten", "sitting")], [3, 0, 3]);
        let known = ["chain.netuid", "chain.genesis", "bucket.name"];
        assert_eq!(nearest("chain.netiud", known), Some("chain.netuid"));
        assert_eq!(nearest("chian.genesis", known), Some("chain.genesis"));
        assert_eq!(nearest("colour", known), None);
    }
}
