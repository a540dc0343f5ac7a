use super::*;
use proptest::prelude::*;

/// Returns the sum of all weights, each multiplied by its symbol's number of bits.
fn cost(weights: &[u128], lengths: &[Option<u8>]) -> u128 {
    weights.iter().zip(lengths).map(|(weight, length)| weight * u128::from(length.unwrap_or(0))).sum()
}

/// Returns the least cost of any code of bounded length, by trying all lengths of a complete code.
fn least(weights: &[u128], most: u8) -> u128 {
    fn any(weights: &[u128], most: u8, room: u32, least: u8) -> Option<u128> {
        let Some((first, rest)) = weights.split_first() else {
            return (room == 0).then_some(0);
        };
        // Heavier symbols never have longer codes, and weights fall here.
        let lengths = least..=most;
        let each = lengths.filter_map(|length| {
            let room = room.checked_sub(1 << (most - length))?;
            Some(first * u128::from(length) + any(rest, most, room, length)?)
        });
        each.min()
    }
    let mut falling: Vec<u128> = weights.iter().copied().filter(|&weight| weight > 0).collect();
    falling.sort_unstable_by(|a, b| b.cmp(a));
    if falling.len() < 2 { 0 } else { any(&falling, most, 1 << most, 1).unwrap() }
}

proptest! {
    #[test]
    fn no_other_code_is_shorter(weights in proptest::collection::vec(prop_oneof![1 => Just(0u128), 4 => 1u128..40, 2 => 1u128..10_000], 0..9), most in 3u32..6) {
        prop_assert_eq!(cost(&weights, &lengths(&weights, most)), least(&weights, most as u8));
    }

    #[test]
    fn any_bits_are_symbols_and_symbols_come_back(weights in proptest::collection::vec(prop_oneof![Just(0u128), 1u128..9, any::<u64>().prop_map(u128::from)], 1..257)) {
        let code = PrefixCode::new(&weights, 11);
        for symbol in (0..weights.len()).filter(|&symbol| weights[symbol] > 0) {
            let (bits, count) = code.bits(symbol).unwrap();
            prop_assert!(count <= 11);
            for rest in [0, 1, u64::MAX] {
                prop_assert_eq!(code.symbol(bits | rest << count), (symbol, count));
            }
        }
        if weights.iter().any(|&weight| weight > 0) {
            let lengths: Vec<_> = code.lengths().collect();
            let again = PrefixCode::with_lengths(&lengths, 11).unwrap();
            prop_assert_eq!(&again.lookup, &code.lookup);
            for bits in 0..1 << 11 {
                let (symbol, count) = code.symbol(bits);
                prop_assert!(weights[symbol] > 0);
                prop_assert_eq!(code.bits(symbol), Some((bits & ((1 << count) - 1), count)));
            }
        }
    }
}

#[test]
fn codes_are_canonical() {
    // RFC 1951, 3.2.2: lengths 3, 3, 3, 3, 3, 2, 4, 4 give these codes.
    let weights = [8, 8, 8, 8, 8, 16, 4, 4u128];
    let code = PrefixCode::new(&weights, 4);
    let text = |symbol| {
        let (bits, count) = code.bits(symbol).unwrap();
        (0..count).map(|bit| char::from(b'0' + (bits >> bit & 1) as u8)).collect::<String>()
    };
    let codes: Vec<String> = (0..8).map(text).collect();
    assert_eq!(codes, ["010", "011", "100", "101", "110", "00", "1110", "1111"]);
    assert_eq!(PrefixCode::new(&[0, 5, 0], 11).symbol(77), (1, 0), "the only symbol needs no bits");
    let refused =
        [[Some(1), Some(1), Some(2)], [Some(1), Some(2), None], [None; 3], [Some(5), Some(1), Some(1)]];
    refused.iter().for_each(|lengths| assert!(PrefixCode::with_lengths(lengths, 4).is_none()));
}
