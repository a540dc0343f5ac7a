//! Tokenizers: loaded from a `tokenizer.json`, or trained on the text.

use base::digest::TokenizerHash;
use serde_json::Value;
use std::path::PathBuf;
use tokenizers::{
    AddedToken, Tokenizer,
    models::{
        TrainerWrapper,
        bpe::{BPE, BpeTrainer},
    },
    pre_tokenizers::byte_level::ByteLevel,
};

/// The names of the token that ends a document, in the order of the search.
pub const END_OF_TEXT: [&str; 5] = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eot_id|>"];

/// The source of the tokenizer.
#[derive(Clone, Debug)]
pub enum TokenizerChoice {
    /// A `tokenizer.json` of Hugging Face's `tokenizers`. It is copied beside the shards.
    File(PathBuf),
    /// A byte-level BPE, trained on the documents that are not held out.
    Train {
        /// The number of entries: 256 bytes, the end of a text, and merges.
        vocab: u32,
        /// The maximum bytes of text for training, from documents drawn by the seed. Bounds memory.
        sample: u64,
    },
}

/// The error of a tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("cannot read the tokenizer {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not a tokenizer.
    #[error("{name} is not a usable tokenizer.json: {reason}")]
    Json {
        /// The file.
        name: String,
        /// The error of the parser.
        reason: String,
    },
    /// The tokenizer is random: the same text would not always become the same tokens.
    #[error("{0} drops merges at random (model.dropout): set it to null")]
    Dropout(String),
    /// A token number is too large.
    #[error("{0} has a token numbered 2^32 - 1: tokens are stored in at most 4 bytes, below that number")]
    Vocabulary(String),
    /// The tokenizer does not have the token that ends a document.
    #[error(
        "{name} has no token {token:?}: name the token that ends a document; it has the special tokens {has}"
    )]
    NoToken {
        /// The file.
        name: String,
        /// The name of the missing token.
        token: String,
        /// The special tokens that the tokenizer has.
        has: String,
    },
    /// The tokenizer cannot encode a text, or cannot decode tokens.
    #[error("the tokenizer failed on a text: {0}")]
    Encode(String),
    /// The trainer failed.
    #[error("cannot train the tokenizer: {0}")]
    Train(String),
}

/// A deterministic tokenizer: the same text always gives the same tokens.
pub struct TextTokenizer {
    inner: Tokenizer,
    /// The token that ends each document.
    pub end_of_text: u32,
    /// The size of the vocabulary: all tokens are below it.
    pub vocab: u32,
    /// The hash of the file.
    pub hash: TokenizerHash,
}

impl TextTokenizer {
    /// Loads a tokenizer from the bytes of a `tokenizer.json`. `name` is for error messages.
    ///
    /// # Errors
    /// The bytes are not a tokenizer, the tokenizer does not have the token, or it is random.
    pub fn new(name: &str, bytes: &[u8], end_of_text: Option<&str>) -> Result<Self, TokenizerError> {
        let refuse = |reason: String| TokenizerError::Json { name: name.into(), reason };
        let json: Value = serde_json::from_slice(bytes).map_err(|e| refuse(e.to_string()))?;
        if json["model"]["dropout"].as_f64().is_some_and(|share| share > 0.0) {
            return Err(TokenizerError::Dropout(name.into()));
        }
        let mut inner = Tokenizer::from_bytes(bytes).map_err(|e| refuse(e.to_string()))?;
        // Documents are plain text: the name of a special token in a document is not a special token.
        // Documents are neither padded nor truncated.
        inner.set_encode_special_tokens(true);
        inner.with_padding(None).with_truncation(None).map_err(|e| refuse(e.to_string()))?;
        let most = inner.get_vocab(true).values().max().copied();
        let most = most.ok_or_else(|| refuse("its vocabulary is empty".into()))?;
        let vocab = most.checked_add(1).ok_or_else(|| TokenizerError::Vocabulary(name.into()))?;
        let end_of_text = find_end(&inner, name, end_of_text)?;
        Ok(Self { inner, end_of_text, vocab, hash: TokenizerHash::of(&[bytes]) })
    }

    /// Returns the tokens of a text, without special tokens.
    ///
    /// # Errors
    /// The tokenizer's model cannot express the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.inner.encode_fast(text, false);
        encoding.map(|e| e.get_ids().to_vec()).map_err(|e| TokenizerError::Encode(e.to_string()))
    }

    /// Returns the text of tokens, including special tokens.
    ///
    /// # Errors
    /// The tokenizer's decoder cannot express the tokens.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.inner.decode(tokens, false).map_err(|e| TokenizerError::Encode(e.to_string()))
    }
}

fn find_end(inner: &Tokenizer, name: &str, asked: Option<&str>) -> Result<u32, TokenizerError> {
    let candidates = asked.map_or_else(|| END_OF_TEXT.to_vec(), |token| vec![token]);
    candidates.iter().find_map(|token| inner.token_to_id(token)).ok_or_else(|| {
        let mut special: Vec<_> = inner.get_added_tokens_decoder().into_iter().collect();
        special.sort_by_key(|(id, _)| *id);
        let has: Vec<_> = special.into_iter().take(20).map(|(_, token)| token.content).collect();
        let has = if has.is_empty() { "none".into() } else { has.join(", ") };
        TokenizerError::NoToken { name: name.into(), token: candidates.join(" or "), has }
    })
}

/// Trains a byte-level BPE. Returns the bytes of a `tokenizer.json`. The order of the texts does not
/// change the bytes.
///
/// # Errors
/// The trainer failed.
pub(crate) fn train(
    vocab: u32,
    texts: impl Iterator<Item = String> + Send,
) -> Result<Vec<u8>, TokenizerError> {
    let fail = |e: tokenizers::Error| TokenizerError::Train(e.to_string());
    let mut tokenizer = Tokenizer::new(BPE::default());
    let bytes = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes)).with_post_processor(Some(bytes));
    let trainer = BpeTrainer::builder()
        .vocab_size(vocab as usize)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from(END_OF_TEXT[0], true)])
        .build();
    tokenizer.train(&mut TrainerWrapper::from(trainer), texts).map_err(fail)?;
    tokenizer.to_string(true).map(String::into_bytes).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained() -> Vec<u8> {
        let texts = (0..200).map(|n| format!("the {n}th line of the text\n"));
        train(300, texts).unwrap()
    }

    #[test]
    fn training_does_not_depend_on_order_or_threads() {
        let backwards = (0..200).rev().map(|n| format!("the {n}th line of the text\n"));
        assert_eq!(trained(), train(300, backwards).unwrap());
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(trained(), alone.install(trained));
    }

    #[test]
    fn any_text_comes_back_and_holds_no_special_token() {
        let tokenizer = TextTokenizer::new("test", &trained(), None).unwrap();
        assert!(tokenizer.vocab <= 300 && tokenizer.end_of_text == 0);
        for text in ["the text", "\u{1f600}\0 \t\r\n", "a<|endoftext|>b", "", "é\u{301}  x"] {
            let tokens = tokenizer.encode(text).unwrap();
            assert!(!tokens.contains(&0) && tokens.iter().all(|&token| token < tokenizer.vocab), "{text:?}");
            assert_eq!(tokenizer.decode(&tokens).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        let refuse = |bytes: &[u8], end| match TextTokenizer::new("t.json", bytes, end) {
            Ok(_) => panic!("it was accepted"),
            Err(error) => error.to_string(),
        };
        assert!(refuse(b"{", None).starts_with("t.json is not a usable tokenizer.json: EOF"));
        assert!(refuse(b"{}", None).starts_with("t.json is not a usable tokenizer.json: "));
        assert_eq!(
            refuse(&trained(), Some("<end>")),
            "t.json has no token \"<end>\": name the token that ends a document; it has the special tokens \
             <|endoftext|>"
        );
        let random = String::from_utf8(trained()).unwrap().replace("\"dropout\": null", "\"dropout\": 0.1");
        assert_eq!(
            refuse(random.as_bytes(), None),
            "t.json drops merges at random (model.dropout): set it to null"
        );
    }
}
