//! [`Logs`]: sets up log lines on stderr, in a human form or as one JSON object a line.

use crate::redact::Redacting;
use serde::{Deserialize, Serialize};
use std::{fmt, io::IsTerminal, str::FromStr};
use thiserror::Error;
use tracing::{Subscriber, subscriber};
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt::MakeWriter};

/// The environment variable of the filter, used if no flag gives one.
pub const ENVIRONMENT: &str = "MUSTER_LOG";

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One human-readable line, coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Human,
    /// One JSON object a line: `timestamp`, `level`, `target`, `message`, the event's fields, `spans`.
    Json,
}

/// The settings of logs.
///
/// The filter has the form of `tracing`: `info`, or `warn,storage=debug` with a
/// [`target`](crate::target). A filter given here takes precedence over [`ENVIRONMENT`]. The default is
/// `info`.
///
/// ```
/// use telemetry::{Format, Logs};
///
/// let logs = Logs { format: Format::Json, filter: Some("warn,storage=debug".to_owned()) };
/// logs.start()?;
/// # Ok::<(), telemetry::LogsError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// The format of a line.
    pub format: Format,
    /// The filter; `None` uses the environment variable.
    pub filter: Option<String>,
}

/// An error in setting up logs.
#[derive(Debug, Error)]
pub enum LogsError {
    /// A filter that is not in `tracing`'s form.
    #[error("the log filter '{filter}' is wrong: write a level (error, warn, info, debug, trace) or target=level, separated by commas; targets: {}", crate::target::ALL.join(", "))]
    Filter {
        /// The filter.
        filter: String,
        /// The defect.
        source: ParseError,
    },
    /// An environment variable that is not UTF-8.
    #[error("the environment variable {ENVIRONMENT} is not UTF-8: write a log level such as info")]
    Environment,
    /// Logs that were set up before.
    #[error("internal: logs were set up twice")]
    Twice,
    /// An unknown name of a format.
    #[error("'{0}' is no log format: human or json")]
    Format(String),
}

impl Logs {
    /// Writes the process's log lines to stderr from now on.
    ///
    /// # Errors
    /// The filter is malformed, or logs were set up before.
    pub fn start(&self) -> Result<(), LogsError> {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let subscriber = self.subscriber(self.chosen_filter()?.as_str(), colour, std::io::stderr)?;
        subscriber::set_global_default(subscriber).map_err(|_| LogsError::Twice)
    }

    fn chosen_filter(&self) -> Result<String, LogsError> {
        match (&self.filter, std::env::var(ENVIRONMENT)) {
            (Some(filter), _) => Ok(filter.clone()),
            (None, Ok(filter)) if !filter.is_empty() => Ok(filter),
            (None, Err(std::env::VarError::NotUnicode(_))) => Err(LogsError::Environment),
            (None, _) => Ok("info".to_owned()),
        }
    }

    fn subscriber<W>(
        &self,
        filter: &str,
        colour: bool,
        to: W,
    ) -> Result<Box<dyn Subscriber + Send + Sync>, LogsError>
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let wrong = |source| LogsError::Filter { filter: filter.to_owned(), source };
        let parsed = EnvFilter::builder().with_regex(false).parse(filter).map_err(wrong)?;
        // A line that cannot be written is lost. Reporting it on the same stream would panic.
        let lines = tracing_subscriber::fmt()
            .with_env_filter(parsed)
            .with_writer(Redacting(to))
            .with_ansi(colour)
            .log_internal_errors(false);
        Ok(match self.format {
            Format::Human => Box::new(lines.finish()),
            Format::Json => Box::new(lines.json().flatten_event(true).with_current_span(false).finish()),
        })
    }
}

impl FromStr for Format {
    type Err = LogsError;

    fn from_str(text: &str) -> Result<Self, LogsError> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(LogsError::Format(text.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    /// A writer that keeps the written bytes.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, filter: &str, speak: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber =
            Logs { format, filter: None }.subscriber(filter, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, speak);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_carry_fields_and_spans_and_no_secret() {
        crate::hide("top-secret-key");
        let line = logged(Format::Json, "info", || {
            let _window = tracing::info_span!("window", window = 7).entered();
            tracing::info!(target: "storage", key = "top-secret-key", bytes = 12, "fetched");
        });
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["message"], &line["target"]), (&"fetched".into(), &"storage".into()));
        assert_eq!((&line["bytes"], &line["key"]), (&12.into(), &"[hidden]".into()));
        assert_eq!(line["spans"][0]["window"], 7);
    }

    #[test]
    fn filters_choose_by_target() {
        let lines = logged(Format::Human, "warn,storage=debug", || {
            tracing::debug!(target: "storage", "seen");
            tracing::info!(target: "chain", "not seen");
        });
        assert!(lines.contains("seen") && !lines.contains("not seen"), "{lines}");
    }

    #[test]
    fn a_wrong_filter_says_what_is_right() {
        let logs = Logs { format: Format::Human, filter: Some("storage=loud".to_owned()) };
        let error = logs.start().unwrap_err();
        assert!(std::error::Error::source(&error).is_some(), "{error:?}");
        let error = error.to_string();
        assert!(error.starts_with("the log filter 'storage=loud' is wrong: "), "{error}");
        assert!(
            error
                .ends_with("targets: node, chain, window, train, storage, score, exchange, engine, devchain"),
            "{error}"
        );
    }

    #[test]
    fn formats_are_named() {
        for format in [Format::Human, Format::Json] {
            assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        }
        assert_eq!("xml".parse::<Format>().unwrap_err().to_string(), "'xml' is no log format: human or json");
    }
}
