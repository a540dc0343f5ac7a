//! [`Phrase`]: the 12 to 24 words that a key is made of.

use std::{fmt, str::FromStr};

use base::Secret;
use bip39::{Language, Mnemonic};
use rand::TryRngCore as _;
use zeroize::Zeroizing;

/// The phrase of a key: English words of BIP-39 with a checksum. It is never printed by accident, and is
/// wiped from memory on drop. The word list's own parser leaves a copy, as indices, that is not wiped.
///
/// ```
/// use chain::wallet::{Phrase, WordCount};
///
/// let phrase = Phrase::generate(WordCount::default());
/// assert_eq!(phrase.expose().split(' ').count(), 12);
/// assert_eq!(Phrase::parse(phrase.expose())?.expose(), phrase.expose());
/// # Ok::<(), chain::wallet::PhraseError>(())
/// ```
#[derive(Clone)]
pub struct Phrase(Secret);

/// The number of words of a phrase: 12, 15, 18, 21 or 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordCount(usize);

/// An error in the words of a phrase. It repeats none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// The number of words is wrong.
    #[error("a phrase has 12, 15, 18, 21 or 24 words, not {0}")]
    Count(usize),
    /// A word is not in the list.
    #[error("word {0} of the phrase is not in the English list of BIP-39: check its spelling")]
    Unknown(usize),
    /// The checksum is wrong.
    #[error("the words of the phrase do not fit together: one of them is wrong, or their order is")]
    Checksum,
}

impl WordCount {
    fn new(words: usize) -> Result<Self, PhraseError> {
        if matches!(words, 12 | 15 | 18 | 21 | 24) { Ok(Self(words)) } else { Err(PhraseError::Count(words)) }
    }
}

/// Twelve words, as Bittensor's tools take them.
impl Default for WordCount {
    fn default() -> Self {
        Self(12)
    }
}

impl FromStr for WordCount {
    type Err = PhraseError;

    fn from_str(text: &str) -> Result<Self, PhraseError> {
        Self::new(text.trim().parse().unwrap_or_default())
    }
}

impl fmt::Display for WordCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(…)")
    }
}

impl Phrase {
    /// Generates a phrase from the random numbers of the operating system.
    pub fn generate(WordCount(words): WordCount) -> Self {
        // Three words hold 32 bits, and one bit of the checksum.
        let mut entropy = Zeroizing::new(vec![0; words / 3 * 4]);
        rand::rngs::OsRng.try_fill_bytes(&mut entropy).expect("the operating system has random numbers");
        let mnemonic = Mnemonic::from_entropy_in(Language::English, &entropy);
        let mnemonic = mnemonic.expect("16 to 32 bytes are entropy for 12 to 24 words");
        Self::joined(words, mnemonic.words())
    }

    /// Reads a phrase. Upper case and any white space between the words are fine.
    ///
    /// # Errors
    /// The number of words, a word or the checksum is wrong.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let text = Zeroizing::new(text.to_lowercase());
        let count = WordCount::new(text.split_whitespace().count())?;
        let phrase = Self::joined(count.0, text.split_whitespace());
        match Mnemonic::parse_in_normalized(Language::English, phrase.expose()) {
            Ok(_) => Ok(phrase),
            Err(bip39::Error::UnknownWord(index)) => Err(PhraseError::Unknown(index + 1)),
            Err(_) => Err(PhraseError::Checksum),
        }
    }

    /// Returns the words, with a space between each two. The caller must not log them.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn joined<'a>(count: usize, words: impl Iterator<Item = &'a str>) -> Self {
        /// The longest word has 8 letters. With less room, growing would leave copies in memory.
        const ROOM: usize = 9;
        let mut text = String::with_capacity(count * ROOM);
        for word in words {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        Self(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_phrases_are_valid_and_differ() {
        for words in ["12", "15", "18", "21", "24"] {
            let count: WordCount = words.parse().unwrap();
            let phrase = Phrase::generate(count);
            assert_eq!(phrase.expose().split(' ').count().to_string(), words);
            assert_eq!(Phrase::parse(phrase.expose()).unwrap().expose(), phrase.expose());
            assert_ne!(Phrase::generate(count).expose(), phrase.expose());
        }
    }

    #[test]
    fn other_numbers_of_words_are_refused() {
        for words in ["0", "11", "13", "27", "twelve", "-12"] {
            assert!(words.parse::<WordCount>().is_err(), "{words}");
        }
        for count in [0, 1, 11, 13, 25] {
            let text = vec!["zoo"; count].join(" ");
            assert_eq!(Phrase::parse(&text).unwrap_err(), PhraseError::Count(count));
        }
    }

    #[test]
    fn white_space_and_upper_case_do_not_matter() {
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        let text = format!("  {}\n", words.to_uppercase().replace(' ', " \t\n"));
        assert_eq!(Phrase::parse(&text).unwrap().expose(), words);
    }

    #[test]
    fn errors_tell_the_place_and_no_word() {
        let right = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        let unknown = right.replace("sausage", "sausagge");
        assert_eq!(Phrase::parse(&unknown).unwrap_err(), PhraseError::Unknown(6));
        let swapped = right.replace("legal winner", "winner legal");
        assert_eq!(Phrase::parse(&swapped).unwrap_err(), PhraseError::Checksum);
        let text = format!("{} {:?}", PhraseError::Unknown(6), Phrase::parse(right).unwrap());
        assert!(!text.contains("sausag") && !text.contains("legal"), "{text}");
    }
}
