//! [`ErrorChain`]: prints an error with its causes.

use std::{error::Error, fmt};

/// Prints an error and its causes, outermost first, separated by colons: `cannot read x: not found`.
///
/// The errors of Muster do not repeat their source in their own text. Print them through this type
/// wherever a person reads them: on standard error, in logs, in reports.
///
/// ```
/// use base::ErrorChain;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("cannot read the price")]
/// struct PriceError(#[from] std::num::ParseIntError);
///
/// let error = PriceError::from("x".parse::<u32>().unwrap_err());
/// assert_eq!(ErrorChain(&error).to_string(), "cannot read the price: invalid digit found in string");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Errors of some libraries end with the text of their source.
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            (last, next) = (text, cause.source());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot begin")]
    struct Outer(#[source] Library);

    /// An error that prints its source, as those of some libraries do.
    #[derive(Debug)]
    struct Library(std::num::ParseIntError);

    impl fmt::Display for Library {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "library: {}", self.0)
        }
    }

    impl Error for Library {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn causes_follow_and_repeated_ones_are_left_out() {
        let number = || "x".parse::<u8>().unwrap_err();
        let error = Outer(Library(number()));
        assert_eq!(ErrorChain(&error).to_string(), "cannot begin: library: invalid digit found in string");
        assert_eq!(ErrorChain(&number()).to_string(), "invalid digit found in string");
    }
}
