//! The page of the chain's errors: generated from the table and the pinned metadata.

use chain::refusal::{Refusal, Retry};
use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

const INTRODUCTION: &str = "# Errors of the chain

Each error with which the chain refuses the calls of this project: the meaning, the remedy, and the time when the same
call may succeed. A test makes this page from [the table](src/refusal.rs) and from the metadata of the pinned runtime:
`MUSTER_BLESS=1 cargo test -p chain --test it errors_page`.

The number of an error in the pool is n in `Custom error: n` (JSON-RPC code 1010).
";

/// The answers of a pool that are no error of a pallet: title, JSON-RPC code and data.
const ANSWERS: &[(&str, i32, &str)] = &[
    ("Transaction is outdated", 1010, "Transaction is outdated"),
    ("Transaction will be valid in the future", 1010, "Transaction will be valid in the future"),
    ("Transaction has a bad signature", 1010, "Transaction has a bad signature"),
    ("Transaction has an ancient birth block", 1010, "Transaction has an ancient birth block"),
    ("Inability to pay some fees", 1010, "Inability to pay some fees (e.g. account balance too low)"),
    ("Transaction would exhaust the block limits", 1010, "Transaction would exhaust the block limits"),
    ("Invalid signing address", 1010, "Invalid signing address"),
    ("Code 1001", 1001, ""),
    ("Code 1011", 1011, ""),
    ("Code 1012", 1012, ""),
    ("Code 1013", 1013, ""),
    ("Code 1014", 1014, ""),
    ("Code 1016", 1016, ""),
];

fn in_pool(code: i32, data: &str) -> Refusal {
    Refusal::from_pool(code, "Invalid Transaction", Some(data)).unwrap()
}

/// Returns the numbers that the pool gives to refusals.
fn numbers() -> BTreeMap<String, Vec<u8>> {
    let mut numbers = BTreeMap::<String, Vec<u8>>::new();
    for number in 0..=u8::MAX {
        let refusal = in_pool(1010, &format!("Custom error: {number}"));
        numbers.entry(refusal.to_string()).or_default().push(number);
    }
    numbers
}

fn retry(refusal: &Refusal) -> &'static str {
    match refusal.retry() {
        Retry::Never => "Sent again, the same call fails again.",
        Retry::Anew => "It may succeed at once, built again.",
        Retry::NextBlock => "It may succeed in the next block.",
        Retry::RateLimit => "It may succeed when the rate limit has passed.",
        Retry::NextEpoch => "It may succeed in the next epoch.",
        Retry::Later => "It may succeed in minutes or hours.",
    }
}

/// Appends the entry of an error, with its anchor.
fn entry(page: &mut String, title: &str, refusal: &Refusal, numbers: &[u8]) {
    let text = refusal.to_string();
    let (first, rest) = text.split_at(text.find(|c: char| !c.is_lowercase()).unwrap());
    let first = first[..1].to_uppercase() + &first[1..];
    write!(page, "\n### {title}\n\n{first}{rest}. {}", retry(refusal)).unwrap();
    if !numbers.is_empty() {
        let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
        write!(page, " In the pool: {}.", numbers.join(", ")).unwrap();
    }
    page.push('\n');
}

fn page() -> String {
    let metadata = chain_metadata::runtime::pinned();
    let numbers = numbers();
    let mut page = INTRODUCTION.to_owned();
    for pallet in ["SubtensorModule", "Commitments"] {
        write!(page, "\n## {pallet}\n").unwrap();
        let errors = metadata.pallet_by_name(pallet).unwrap().error_variants().unwrap();
        let mut names: Vec<&str> = errors.iter().map(|error| error.name.as_str()).collect();
        names.sort_unstable();
        for name in names {
            let refusal = Refusal::from_pallet(pallet, name);
            if !matches!(refusal, Refusal::OtherError { .. }) {
                entry(
                    &mut page,
                    name,
                    &refusal,
                    numbers.get(&refusal.to_string()).map_or(&[], Vec::as_slice),
                );
            }
        }
    }
    page.push_str("\n## Answers of the pool\n");
    entry(&mut page, "Custom error: 255", &Refusal::BadRequest, &[u8::MAX]);
    for (title, code, data) in ANSWERS {
        entry(&mut page, title, &in_pool(*code, data), &[]);
    }
    page
}

#[test]
fn the_page_of_errors_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ERRORS.md");
    let page = page();
    if env::var_os("MUSTER_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let is_same = fs::read_to_string(&path).unwrap() == page;
    assert!(is_same, "{} is old: make it again with MUSTER_BLESS=1", path.display());
    let mut titles: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let count = titles.len();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), count, "an anchor stands for one error");
}
