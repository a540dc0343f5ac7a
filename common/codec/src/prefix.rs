//! Builds optimal prefix codes of bounded length, by package-merge (Larmore, Hirschberg 1990). The
//! codes are in canonical form, with the bits of a code word from its highest on, as in DEFLATE
//! (RFC 1951, 3.2.2).
//!
//! A code follows from its weights alone, so it need not be sent. It is complete: any bits decode to symbols.

/// A prefix code of up to 256 symbols.
#[derive(Clone, Debug)]
pub struct PrefixCode {
    /// The largest number of bits of a symbol.
    most: u32,
    /// The code word of each symbol that occurs, as written (the first bit lowest), and its number of bits.
    symbols: Vec<Option<(u16, u8)>>,
    /// For each value of the next `most` bits: the symbol that they begin with, and its number of bits.
    lookup: Vec<(u8, u8)>,
}

impl PrefixCode {
    /// Creates the code for symbols of these weights, with at most `most` bits per symbol. `most`
    /// is at most 15, and enough to tell the symbols apart. Symbols of weight 0 do not occur.
    #[must_use]
    pub fn new(weights: &[u128], most: u32) -> Self {
        Self::of(&lengths(weights, most), most)
    }

    /// Creates the code with these lengths, if they make a complete code. Symbols without a length
    /// do not occur.
    #[must_use]
    pub fn with_lengths(lengths: &[Option<u8>], most: u32) -> Option<Self> {
        let fits = lengths.iter().flatten().all(|&length| u32::from(length) <= most);
        let room = || lengths.iter().flatten().map(|&length| 1u32 << (most - u32::from(length))).sum::<u32>();
        (lengths.len() <= 256 && most < 16 && fits && room() == 1 << most).then(|| Self::of(lengths, most))
    }

    /// Returns the length of each symbol, or `None` for a symbol that does not occur.
    pub fn lengths(&self) -> impl Iterator<Item = Option<u8>> {
        self.symbols.iter().map(|symbol| symbol.map(|(_, length)| length))
    }

    /// Creates the canonical code with these lengths.
    fn of(lengths: &[Option<u8>], most: u32) -> Self {
        debug_assert!(lengths.len() <= 256 && most < 16, "symbols have 8 bits, codes 15");
        let mut order: Vec<(u8, usize)> =
            lengths.iter().enumerate().filter_map(|(symbol, length)| Some(((*length)?, symbol))).collect();
        order.sort_unstable();
        let mut symbols = vec![None; lengths.len()];
        let mut lookup = vec![(0, 0); 1 << most];
        let mut next = 0usize;
        for (length, symbol) in order {
            // As numbers of `most` bits, code words rise from the shortest to the longest. Among
            // equal lengths they rise from symbol to symbol.
            let code = reversed(next, most);
            symbols[symbol] = Some((code as u16, length));
            for rest in 0..1 << (most - u32::from(length)) {
                lookup[code | rest << length] = (symbol as u8, length);
            }
            next += 1 << (most - u32::from(length));
        }
        Self { most, symbols, lookup }
    }

    /// Returns a symbol's code word, the first bit lowest, and its number of bits. Returns `None`
    /// if the symbol does not occur.
    #[inline]
    #[must_use]
    pub fn bits(&self, symbol: usize) -> Option<(u64, u32)> {
        let (bits, count) = (*self.symbols.get(symbol)?)?;
        Some((bits.into(), count.into()))
    }

    /// Returns the symbol that `bits` begin with, and its number of bits.
    #[inline]
    #[must_use]
    pub fn symbol(&self, bits: u64) -> (usize, u32) {
        let (symbol, count) = self.lookup[bits as usize & ((1 << self.most) - 1)];
        (symbol.into(), count.into())
    }
}

/// Reverses the `count` bits of a number.
fn reversed(number: usize, count: u32) -> usize {
    if count == 0 { 0 } else { number.reverse_bits() >> (usize::BITS - count) }
}

/// Returns the lengths of the optimal code with at most `most` bits. A symbol that does not occur
/// has no length. If only one symbol occurs, its length is 0.
///
/// Each round merges two lists by weight: the coins (one per symbol) and the packages (pairs of
/// adjacent items of the previous round). At equal weight a coin comes before a package, and coins
/// keep the order of symbols. Of the last round, the first `2 (symbols - 1)` items are taken. Of
/// each earlier round, the items in the taken packages are taken. A symbol's length is the number
/// of rounds in which its coin is taken.
fn lengths(weights: &[u128], most: u32) -> Vec<Option<u8>> {
    let mut coins: Vec<usize> = (0..weights.len()).filter(|&symbol| weights[symbol] > 0).collect();
    coins.sort_by_key(|&symbol| weights[symbol]);
    debug_assert!(coins.len() <= 1 << most, "there are enough codes");
    let round = |packages: &[u128]| {
        // `false` marks a coin, `true` a package. The sort is stable.
        let mut items: Vec<(u128, bool)> = coins.iter().map(|&coin| (weights[coin], false)).collect();
        items.extend(packages.iter().map(|&package| (package, true)));
        items.sort_by_key(|(weight, _)| *weight);
        items
    };
    let mut rounds = vec![round(&[])];
    for before in 0..most.saturating_sub(1) as usize {
        let packages: Vec<u128> = rounds[before].chunks_exact(2).map(|pair| pair[0].0 + pair[1].0).collect();
        rounds.push(round(&packages));
    }
    let mut lengths: Vec<_> = weights.iter().map(|&weight| (weight > 0).then_some(0)).collect();
    let mut taken = 2 * coins.len().saturating_sub(1);
    for items in rounds.iter().rev() {
        let packages = items[..taken].iter().filter(|(_, package)| *package).count();
        let coins = &coins[..taken - packages];
        coins.iter().for_each(|&coin| lengths[coin] = lengths[coin].map(|length| length + 1));
        taken = 2 * packages;
    }
    lengths
}

#[cfg(test)]
mod tests;
