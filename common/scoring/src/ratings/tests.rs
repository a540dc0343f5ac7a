use super::*;
use proptest::prelude::*;

/// A player, with the rating from PyPI's openskill.
struct Line {
    before: (f64, f64),
    place: usize,
    after: (f64, f64),
}

/// Reads the matches of `tests/vectors/plackett_luce.txt`.
fn matches() -> Vec<Vec<Line>> {
    let mut matches = Vec::new();
    for line in include_str!("../../tests/vectors/plackett_luce.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [mu, sigma, place, new_mu, new_sigma] = words[..] else {
            matches.push(Vec::new());
            continue;
        };
        let number = |text: &str| text.parse::<f64>().unwrap();
        matches.last_mut().unwrap().push(Line {
            before: (number(mu), number(sigma)),
            place: place.parse().unwrap(),
            after: (number(new_mu), number(new_sigma)),
        });
    }
    matches
}

fn miner(index: u8) -> Hotkey {
    Hotkey([index; 32])
}

fn field(ratings: &[Rating]) -> BTreeMap<Hotkey, Entrant> {
    let entrant = |(index, &rating)| (miner(index as u8), Entrant { rating, place: index + 1 });
    ratings.iter().enumerate().map(entrant).collect()
}

#[test]
fn matches_are_those_of_openskill_6_2_0() {
    let matches = matches();
    assert_eq!(matches.len(), 80);
    let mut league: Vec<(f64, f64)> = matches[0].iter().map(|line| line.before).collect();
    for (index, lines) in matches.iter().enumerate() {
        let places: Vec<usize> = lines.iter().map(|line| line.place).collect();
        // The league's ratings go from match to match here as well, so that differences add up.
        let before: Vec<_> =
            if index < 40 { league.clone() } else { lines.iter().map(|line| line.before).collect() };
        let after = plackett_luce(&before, &places);
        for (ours, line) in after.iter().zip(lines) {
            let (mu, sigma) = ((ours.0 - line.after.0).abs(), (ours.1 - line.after.1).abs());
            assert!(mu <= 1e-13 && sigma <= 1e-13, "match {index}: mu differs by {mu}, sigma by {sigma}");
        }
        league = after;
    }
}

#[test]
fn a_league_finds_its_order() {
    let mut ratings = [Rating::default(); 5];
    for _ in 0..8 {
        let after = play(&field(&ratings));
        ratings = std::array::from_fn(|index| after[&miner(index as u8)]);
    }
    let values: Vec<_> = ratings.iter().map(|rating| rating.ordinal()).collect();
    assert!(values.windows(2).all(|pair| pair[0] > pair[1]), "{values:?}");
}

#[test]
fn alone_nothing_is_learnt() {
    let alone = field(&[Rating::default()]);
    assert_eq!(play(&alone)[&miner(0)], Rating::default());
    assert!(play(&BTreeMap::new()).is_empty());
}

#[test]
fn ratings_out_of_bounds_are_refused() {
    let read = |mu: i64, sigma: i64| {
        let mut writer = Writer::new();
        writer.u64(mu as u64).u64(sigma as u64);
        Rating::read(&mut Reader::new(&writer.into_bytes()))
    };
    assert_eq!(read(25_000_000, 8_333_333), Ok(Rating::default()));
    assert!(read(1_000_000_001, 1).unwrap_err().to_string().ends_with("mu is within 1000 of 0"));
    assert!(read(0, 0).unwrap_err().to_string().ends_with("sigma is above 0 and at most 100"));
    assert!(read(0, -5).is_err() && read(i64::MIN, 5).is_err());
}

fn any_rating() -> impl Strategy<Value = Rating> {
    (-MOST_MU..=MOST_MU, 1..=MOST_SIGMA)
        .prop_map(|(mu, sigma)| Rating::new(Millionths(mu), Millionths(sigma)))
}

proptest! {
    #[test]
    fn any_match_ends_in_ratings(ratings in prop::collection::vec(any_rating(), 2..12)) {
        let before: Vec<_> = ratings.iter().map(|r| (r.mu.get(), r.sigma.get())).collect();
        let places: Vec<_> = (1..=before.len()).collect();
        for (mu, sigma) in plackett_luce(&before, &places) {
            prop_assert!(mu.is_finite() && sigma.is_finite() && sigma > 0.0, "{before:?}: {mu} {sigma}");
        }
    }
}
